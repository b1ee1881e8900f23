"""Names of uploads: they are labels, never paths."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.security.fort import Fort

pytestmark = pytest.mark.security
NAMES = (
    "../escaped", "../../../../../../tmp/escaped", "/tmp/escaped", "a/../../escaped", "./escaped", "..", ".", "a//b",
    "..\\escaped", "a\0b", "a\nb", "a\r\nSet-Cookie: x=1", "-rf /", "a;b", "$(id)", "`id`", "\u202egnp.exe", "a" * 300,
    "CON|x", "a/" * 20 + "b", "%2e%2e/escaped", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
)  # fmt: skip


def put(fort: Fort, dataset: str, name: bytes) -> int:
    """The status of an upload under exactly these bytes as a name; no library tidies them up."""
    head = f"PUT /v1/datasets/{dataset}/files/".encode() + name + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += f"Authorization: Bearer {fort.key}\r\nContent-Length: 1\r\n\r\n".encode() + b"x"
    return int(fort.raw(head).split(b" ")[1])


@pytest.mark.parametrize("name", NAMES)
def test_upload_when_the_name_is_a_way_out_then_refused(fort: Fort, name: str) -> None:
    dataset = fort.things["dataset_id"]
    statuses = {put(fort, dataset, quote(name, safe="").encode())}
    if name.isascii() and not any(char in " \0\r\n`|$;" for char in name):
        statuses.add(put(fort, dataset, name.encode()))
    assert statuses <= {400, 404, 405, 422}, statuses
    listed = fort.request("GET", f"/v1/datasets/{dataset}/files").json()["items"]
    assert [file["path"] for file in listed] == ["clicks.csv"]


def test_store_when_attacked_then_holds_nothing_but_hashes(fort: Fort) -> None:
    blobs = Path(fort.environment()["DISTILLERY_BLOB_DIR"])
    names = [path.name for path in blobs.rglob("*") if path.is_file()]
    assert names
    assert all(re.fullmatch(r"[0-9a-f]{64}", name) for name in names)
    assert not Path("/tmp/escaped").exists()


@pytest.mark.parametrize("path", ["../../../etc/passwd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%5c..%5cetc"])
def test_download_when_the_name_is_a_way_out_then_404(fort: Fort, path: str) -> None:
    for where in (
        f"/v1/datasets/{fort.things['dataset_id']}/files/",
        f"/v1/summaries/{fort.things['summary_id']}/files/",
    ):
        head = f"GET {where}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {fort.key}\r\n\r\n"
        answer = fort.raw(head.encode())
        assert answer.split(b" ")[1] == b"404"
        assert b"root:" not in answer


def test_commit_when_it_names_files_that_are_not_there_then_refused(fort: Fort) -> None:
    file = {"path": "../../../etc/passwd", "sha256": "0" * 64, "size": 1}
    answer = fort.request("POST", f"/v1/datasets/{fort.things['dataset_id']}/commit", json={"files": [file]})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_file")


def test_upload_when_its_name_holds_quotes_then_no_header_is_injected(fort: Fort) -> None:
    path = f"/v1/datasets/{fort.things['dataset_id']}/files/clicks.csv"
    disposition = fort.request("GET", path).headers["content-disposition"]
    assert disposition == "attachment; filename*=UTF-8''clicks.csv"
