"""Downloads: ranges, digests, zips, and what a browser may do with them."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.integration.api.conftest import Api

FILES = {
    "manifest.json": b'{"a": 1}',
    "data/rows.npz": bytes(range(256)) * 5000,
    "load.py": b"",
    "a/b.txt": b"x" * 7,
    "notes.md": b"".join(b"| %d | %d |\n" % (number, number * number) for number in range(100_000)),
}


def digest(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


def some_range(first: int, length: int) -> str:
    return f"bytes={first}-{first + length - 1}"


@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(data=st.data())
def test_range_when_random_then_equals_the_slice(api: Api, data: st.DataObject) -> None:
    if not hasattr(api, "made"):
        api.made = api.summary(FILES)["summary"]
    whole_zip = api.get(f"/v1/summaries/{api.made}/download").content
    path, content = data.draw(
        st.sampled_from([("files/data/rows.npz", FILES["data/rows.npz"]), ("download", whole_zip)])
    )
    first = data.draw(st.integers(0, len(content) + 5))
    last = data.draw(st.integers(first, len(content) + 50))
    answer = api.get(f"/v1/summaries/{api.made}/{path}", headers={"Range": f"bytes={first}-{last}"})
    if first >= len(content):
        assert answer.status_code == 416
        assert answer.headers["content-range"] == f"bytes */{len(content)}"
        assert answer.json()["code"] == "range_not_satisfiable"
        return
    end = min(last, len(content) - 1)
    assert answer.status_code == 206
    assert answer.content == content[first : last + 1]
    assert answer.headers["content-range"] == f"bytes {first}-{end}/{len(content)}"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.headers["repr-digest"] == digest(content)
    assert "content-digest" not in answer.headers


@pytest.mark.parametrize(
    ("header", "status", "start", "stop"),
    [
        ("bytes=-1", 206, -1, None),
        ("bytes=0-", 206, 0, None),
        ("bytes=5-", 206, 5, None),
        ("bytes=-9999999", 206, 0, None),
        ("bytes=-0", 416, 0, 0),
        ("bytes=0-1,3-4", 200, 0, None),
        ("bytes=4-2", 200, 0, None),
        ("bytes=-", 200, 0, None),
        ("bytes=a-b", 200, 0, None),
        ("lines=1-2", 200, 0, None),
        ("bytes=99999999999999999999-", 200, 0, None),
    ],
)
def test_range_when_special_then_as_the_rfc_says(
    api: Api, header: str, status: int, start: int, stop: int | None
) -> None:
    path = f"/v1/summaries/{api.summary(FILES)['summary']}/files/a/b.txt"
    answer = api.get(path, headers={"Range": header})
    assert answer.status_code == status
    if status != 416:
        assert answer.content == FILES["a/b.txt"][start:stop]
    if status == 200:
        assert answer.headers["content-digest"] == answer.headers["repr-digest"] == digest(FILES["a/b.txt"])


def test_if_range_when_stale_then_the_whole_file(api: Api) -> None:
    path = f"/v1/summaries/{api.summary(FILES)['summary']}/files/data/rows.npz"
    tag = api.get(path).headers["etag"]
    assert tag == f'"{hashlib.sha256(FILES["data/rows.npz"]).hexdigest()}"'
    asked = {"Range": "bytes=1-2"}
    assert api.get(path, headers={**asked, "If-Range": tag}).status_code == 206
    for stale in ('"other"', f"W/{tag}", "Mon, 23 Nov 2026 10:00:00 GMT"):
        answer = api.get(path, headers={**asked, "If-Range": stale})
        assert (answer.status_code, len(answer.content)) == (200, len(FILES["data/rows.npz"]))
    assert api.get(path, headers={"If-None-Match": tag}).status_code == 304


def test_empty_file_when_downloaded_then_empty(api: Api) -> None:
    answer = api.get(f"/v1/summaries/{api.summary(FILES)['summary']}/files/load.py")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")


def test_zip_when_downloaded_then_valid_compressed_and_deterministic(api: Api) -> None:
    first, second = api.summary(FILES)["summary"], api.summary(dict(reversed(FILES.items())))["summary"]
    answer = api.get(f"/v1/summaries/{first}/download")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == sorted(archive.namelist())
        assert set(archive.namelist()) >= set(FILES)
        assert {name: archive.read(name) for name in FILES} == FILES
        methods = {info.filename: info.compress_type for info in archive.infolist()}
        assert {name for name in FILES if methods[name] == zipfile.ZIP_DEFLATED} == {"notes.md", "a/b.txt"}
        assert methods["data/rows.npz"] == zipfile.ZIP_STORED  # such files are compressed by who wrote them
        assert archive.getinfo("notes.md").compress_size < len(FILES["notes.md"]) / 2
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert answer.headers["content-digest"] == digest(answer.content)
    assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''summary-{first}.zip"
    assert api.get(f"/v1/summaries/{second}/download").content == answer.content


def test_zip_when_a_deflated_file_changed_then_never_whole(api: Api) -> None:
    path = f"/v1/summaries/{api.summary({'changes.csv': b'1,2' * 500_000})['summary']}/download"
    whole = api.get(path).content
    stored = api.blobs.local_path(hashlib.sha256(b"1,2" * 500_000).hexdigest())
    stored.chmod(0o640)
    with stored.open("r+b") as file:
        file.seek(100_000)
        file.write(b"changed")
    assert len(api.get(path).content) < len(whole)


def test_report_when_downloaded_then_a_zip_of_all_evidence(api: Api) -> None:
    report = api.summary()["report"]
    answer = api.get(f"/v1/reports/{report}/download")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "files/main", "pictures/main.png", "plots/curve.png", "plots/curve.svg", "report.html", "report.json",
            "report.md", "tables/main.csv",
        ]  # fmt: skip
    assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''report-{report}.zip"
    part = api.get(f"/v1/reports/{report}/download", headers={"Range": "bytes=10-99"})
    assert (part.status_code, part.content) == (206, answer.content[10:100])
    assert api.get(f"/v1/reports/{report}/pictures/main.png").headers["content-type"] == "image/png"
    assert api.get(f"/v1/reports/{report}/pictures/other.png").status_code == 404
    assert api.get("/v1/reports/rep_none/download").status_code == 404


def test_summary_when_downloaded_then_holds_the_report_but_not_the_figures_behind_it(api: Api) -> None:
    answer = api.get(f"/v1/summaries/{api.summary(FILES)['summary']}/download")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert set(archive.namelist()) == {*FILES, "report.html", "report.json", "report.md"}


def test_summary_when_read_then_manifest_and_files_and_deleted_then_gone(api: Api) -> None:
    result = api.summary(FILES)
    path = f"/v1/summaries/{result['summary']}"
    view = api.get(path).json()
    assert view["manifest"] == {"rows": 3}
    sizes = {file["path"]: file["size"] for file in view["files"]}
    assert sizes.items() >= {name: len(content) for name, content in FILES.items()}.items()
    assert view["size"] == sum(sizes.values())
    assert view["report"] == result["report"]
    assert api.get(f"{path}/files/none.txt").status_code == 404
    assert api.delete(path).status_code == 204
    for gone in (path, f"{path}/download", f"{path}/files/load.py"):
        assert api.get(gone).status_code == 404
    assert api.delete(path).status_code == 404
    assert api.get(f"/v1/reports/{result['report']}").status_code == 200


def test_report_when_read_then_each_form_with_its_guard(api: Api) -> None:
    path = f"/v1/reports/{api.summary()['report']}"
    assert api.get(path).json() == {"verdict": "ok"}
    page = api.get(f"{path}.html")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "sandbox" in page.headers["content-security-policy"]
    assert "script" not in page.headers["content-security-policy"].replace("default-src 'none'", "")
    plot = api.get(f"{path}/plots/curve.svg")
    assert plot.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in plot.headers["content-security-policy"]
    table = api.get(f"{path}/tables/main.csv")
    assert table.text == "a,b\n1,2\n"
    assert table.headers["content-disposition"] == "attachment; filename*=UTF-8''main.csv"
    assert {answer.headers["x-content-type-options"] for answer in (page, plot, table)} == {"nosniff"}
    assert api.get(f"{path}/plots/none.svg").status_code == 404


@pytest.mark.parametrize("size", [100, 3_000_000])
def test_download_when_a_stored_byte_changed_then_never_whole(api: Api, size: int) -> None:
    content = bytes(size)
    result = api.summary({"manifest.json": b"{}", "data.bin": content})
    stored = api.blobs.local_path(hashlib.sha256(content).hexdigest())
    stored.chmod(0o640)
    with stored.open("r+b") as file:
        file.seek(size - 1)
        file.write(b"\1")
    path = f"/v1/summaries/{result['summary']}/files/data.bin"
    answer = api.get(path)
    if size < 1 << 20:
        assert (answer.status_code, answer.json()["code"]) == (500, "corrupt_blob")
    else:
        assert len(answer.content) < size
    stored.unlink()
    assert api.get(path).json()["code"] == "corrupt_blob"


def test_logs_when_ranged_then_the_rest(api: Api) -> None:
    made = api.job()
    api.log(made["id"], "first line", "second line")
    path = f"/v1/jobs/{made['id']}/logs"
    whole = api.get(path)
    assert whole.headers["content-type"] == "text/plain; charset=utf-8"
    assert [line.partition(" ")[2] for line in whole.text.splitlines()] == ["first line", "second line"]
    api.log(made["id"], "third line")
    more = api.get(path, headers={"Range": f"bytes={len(whole.content)}-"})
    assert more.status_code == 206
    assert more.text.endswith("third line\n")
    assert api.get(path, headers={"Range": "bytes=100000-"}).status_code == 416


def test_head_when_asked_then_the_headers_of_get_without_a_body(api: Api) -> None:
    dataset = api.dataset()["id"]
    api.put(f"/v1/datasets/{dataset}/files/a", content=bytes(range(256)) * 40)
    made = api.summary()
    paths = [
        f"/v1/datasets/{dataset}/files/a",
        f"/v1/summaries/{made['summary']}/download",
        f"/v1/summaries/{made['summary']}/files/manifest.json",
    ]
    for path in paths:
        whole, asked = api.get(path), api.request("HEAD", path)
        assert (asked.status_code, asked.content) == (200, b"")
        for name in ("content-length", "etag", "repr-digest", "content-type", "accept-ranges"):
            assert asked.headers[name] == whole.headers[name]
    part = api.request("HEAD", paths[0], headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.headers["content-length"]) == (206, "3")
    assert api.request("HEAD", f"{paths[0]}x").status_code == 404
