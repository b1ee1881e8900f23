"""One running service for all attacks; after each of them it must be alive, without a 5xx, with all it had stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.planted import planted_csv
from tests.security.fort import Fort, settle
from tests.security.hostile import hostile_result
from tests.service import Service

SETTINGS = {
    "threads": 1,
    "ingest_decoded_bytes": 300_000_000,
    "upload_limit_bytes": 20_000_000,
    "header_s": 2,
    "body_stall_s": 2,
    "connections_per_address": 40,
}


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fort]:
    with Service(**SETTINGS) as service:
        key = json.loads((service.home / "run" / "credentials").read_text())["api_key"]
        fort = Fort(service, service.state()["url"], key)
        settle(fort, Path(planted_csv(tmp_path_factory.mktemp("data") / "clicks.csv")).read_bytes())
        yield fort


@pytest.fixture
def fort(running: Fort) -> Iterator[Fort]:
    """The service; the test fails when it did not survive unharmed."""
    before = running.incarnations()
    yield running
    assert running.server_errors() == {}
    assert running.incarnations() == before
    assert running.snapshot() == running.stored


@pytest.fixture(scope="session")
def hostile(running: Fort) -> dict[str, str]:
    """What came of a job on a dataset whose every string is an attack."""
    return hostile_result(running)
