"""zip: names that leave the archive, links and devices, names that collide."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.security.files import CSV, archive
from tests.security.fort import Fort

pytestmark = pytest.mark.security
SECRET = Path("/etc/passwd")


def link(name: str, mode: int) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    return made


@pytest.mark.parametrize("name", ["../../../../tmp/escaped.csv", "/tmp/escaped.csv", "..\\escaped.csv", "C:\\x.csv"])
def test_zip_when_a_name_leaves_it_then_refused_and_nothing_written(fort: Fort, name: str) -> None:
    fort.refused({"escape.zip": archive([(name, CSV)])}, "unsafe_format")
    assert not Path("/tmp/escaped.csv").exists()


@pytest.mark.parametrize("mode", [0o120777, 0o060666])
def test_zip_when_an_entry_is_a_link_or_a_device_then_refused_unread(fort: Fort, mode: int) -> None:
    target = str(SECRET).encode()
    error = fort.refused({"link.zip": archive([(link("clicks.csv", mode), target)])}, "unsafe_format")
    assert "root" not in error["detail"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zip_when_names_collide_then_refused(fort: Fort) -> None:
    for second in ("clicks.csv", "CLICKS.csv"):
        fort.refused({"twins.zip": archive([("clicks.csv", CSV), (second, CSV)])}, "unsafe_format")
