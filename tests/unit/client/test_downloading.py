from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
from pathlib import Path
from typing import Any

import pytest

from distillery import AsyncClient, Client, _downloading, errors
from distillery._downloading import safe_path, sha256_of
from distillery._effects import Pause
from tests.unit.client.http_server import Answer, Asked, document, serving


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_downloading, "Pause", lambda seconds: Pause(0.0))


CONTENT = bytes(range(256)) * 4000


def digest(content: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"


def entry(path: str, content: bytes) -> dict[str, Any]:
    return {"path": path, "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


class Store:
    """Serves `files` with ranges; the n-th answer of a file breaks off after `cuts[n]` bytes of its body."""

    def __init__(self, files: dict[str, bytes], cuts: list[int] | None = None, digest_of: bytes | None = None) -> None:
        self.files = files
        self.cuts = list(cuts or [])
        self.digest_of = digest_of
        self.ranges: list[str | None] = []

    def __call__(self, asked: Asked) -> Answer:
        if asked.path == "/v1/summaries/sum_1":
            return document({"id": "sum_1", "files": [entry(name, body) for name, body in self.files.items()]})
        content = self.files[asked.path.partition("/files/")[2] or "zip"]
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        headers = {"ETag": tag, "Repr-Digest": digest(self.digest_of or content)}
        wanted = asked.headers.get("range")
        self.ranges.append(wanted)
        start = 0
        if wanted and asked.headers.get("if-range") == tag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        cut = self.cuts.pop(0) if self.cuts else None
        return Answer(206 if start else 200, content[start:], headers, cut_after=cut)


def test_download_when_whole_then_has_the_files_of_the_manifest(tmp_path: Path) -> None:
    store = Store({"data.npz": CONTENT, "dataset/items.parquet": b"items", "empty": b""})
    with serving(store) as server, Client(server.url, "k") as client:
        folder = client.summary("sum_1").download(tmp_path / "out")
    assert (folder / "data.npz").read_bytes() == CONTENT
    assert (folder / "dataset" / "items.parquet").read_bytes() == b"items"
    assert (folder / "empty").read_bytes() == b""
    assert not list(folder.rglob("*.part"))


def test_download_when_connection_breaks_then_resumes_where_it_broke(tmp_path: Path) -> None:
    store = Store({"data.npz": CONTENT}, cuts=[300_000, 100_000])
    told: list[int] = []
    with serving(store) as server, Client(server.url, "k") as client:
        summary = client.summary("sum_1")
        folder = summary.download(tmp_path, progress=lambda p: told.append(p.received))
    assert (folder / "data.npz").read_bytes() == CONTENT
    assert store.ranges == [None, "bytes=300000-", "bytes=400000-"]
    assert told == sorted(told)
    assert told[-1] == len(CONTENT)


def test_async_download_when_connection_breaks_then_resumes_where_it_broke(tmp_path: Path) -> None:
    async def run(url: str) -> Path:
        async with AsyncClient(url, "k") as client:
            return await client.summary("sum_1").download(tmp_path)

    store = Store({"data.npz": CONTENT}, cuts=[300_000])
    with serving(store) as server:
        assert (asyncio.run(run(server.url)) / "data.npz").read_bytes() == CONTENT
    assert store.ranges == [None, "bytes=300000-"]


def test_download_when_file_changed_meanwhile_then_starts_over(tmp_path: Path) -> None:
    other = CONTENT[::-1]

    class Changing(Store):
        def __call__(self, asked: Asked) -> Answer:
            answer = super().__call__(asked)
            self.files = {"zip": other}
            return answer

    with serving(Changing({"zip": CONTENT}, cuts=[1000])) as server, Client(server.url, "k") as client:
        where = client.summary("sum_1").download(tmp_path, as_zip=True)
    assert where == tmp_path / "summary-sum_1.zip"
    assert where.read_bytes() == other


def test_download_when_it_breaks_without_progress_then_gives_up_and_leaves_nothing(tmp_path: Path) -> None:
    with serving(Store({"zip": CONTENT}, cuts=[0] * 50)) as server, Client(server.url, "k") as client:
        with pytest.raises(errors.ConnectionLost):
            client.summary("sum_1").download(tmp_path, as_zip=True)
        assert len(server.asked) == 5
    assert not list(tmp_path.iterdir())


def test_download_when_digest_differs_then_raises_and_leaves_nothing(tmp_path: Path) -> None:
    store = Store({"zip": CONTENT}, digest_of=CONTENT + b"!")
    with serving(store) as server, Client(server.url, "k") as client, pytest.raises(errors.DigestMismatch):
        client.summary("sum_1").download(tmp_path, as_zip=True)
    assert not list(tmp_path.iterdir())


def test_download_when_file_is_not_the_manifests_then_raises(tmp_path: Path) -> None:
    class Lying(Store):
        def __call__(self, asked: Asked) -> Answer:
            answer = super().__call__(asked)
            self.files = {"data.npz": b"something else"}
            return answer

    store = Lying({"data.npz": CONTENT})
    with serving(store) as server, Client(server.url, "k") as client, pytest.raises(errors.DigestMismatch):
        client.summary("sum_1").download(tmp_path)
    assert not list(tmp_path.iterdir())


def test_download_when_repeated_then_fetches_only_what_is_missing(tmp_path: Path) -> None:
    with serving(Store({"a": b"1", "b": b"2"})) as server, Client(server.url, "k") as client:
        client.summary("sum_1").download(tmp_path)
        (tmp_path / "b").write_bytes(b"damaged")
        before = len(server.asked)
        client.summary("sum_1").download(tmp_path)
        assert server.paths()[before:] == ["GET /v1/summaries/sum_1", "GET /v1/summaries/sum_1/files/b"]
    assert (tmp_path / "b").read_bytes() == b"2"


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "a\\..\\x", "C:x"])
def test_safe_path_when_name_leads_outside_then_raises(name: str) -> None:
    with pytest.raises(ValueError, match="outside"):
        safe_path(name)


@pytest.mark.parametrize(
    ("field", "found"),
    [
        (digest(b"x"), hashlib.sha256(b"x").digest()),
        (f"sha-512=:AAAA:, {digest(b'x')}", hashlib.sha256(b"x").digest()),
        ("sha-512=:AAAA:", None),
        ("sha-256=:not base64:", None),
        ("", None),
    ],
)
def test_digest_field_when_read_then_gives_the_sha256(field: str, found: bytes | None) -> None:
    assert sha256_of(field) == found


def test_progress_counter_is_strictly_increasing(tmp_path: Path) -> None:
    told: list[int] = []
    with serving(Store({"zip": CONTENT})) as server, Client(server.url, "k") as client:
        client.summary("sum_1").download(tmp_path, as_zip=True, progress=lambda p: told.append(p.received))
    assert all(a < b for a, b in itertools.pairwise(told))


def test_dataset_download_when_asked_then_has_the_canonical_files_of_the_latest_version(tmp_path: Path) -> None:
    bodies = {"events.parquet": CONTENT, "parts/items.parquet": b"items"}
    listed = [entry(name, body) for name, body in bodies.items()]
    root = "/v1/datasets/ds_1/versions/3/files"

    def answer(asked: Asked) -> Answer:
        if asked.path == "/v1/datasets/ds_1":
            return document({"id": "ds_1", "latest_version": 3, "reference": "ds_1@3"})
        if asked.path.partition("?")[0] == root:
            page = {"items": listed[1:], "next_page_token": ""}
            return document(page if "page_token" in asked.path else {"items": listed[:1], "next_page_token": "more"})
        return Answer(200, bodies[asked.path.removeprefix(f"{root}/")], {})

    with serving(answer) as server, Client(server.url, "k") as client:
        folder = client.datasets.get("ds_1").download(tmp_path / "out")
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.parquet")}
    assert found == bodies


def test_report_download_when_asked_then_one_zip(tmp_path: Path) -> None:
    with serving(Store({"zip": CONTENT})) as server, Client(server.url, "k") as client:
        where = client.report("rep_1").download(tmp_path)
        named = client.report("rep_1").download(tmp_path / "evidence.zip")
    assert (where, where.read_bytes()) == (tmp_path / "report-rep_1.zip", CONTENT)
    assert (named, named.read_bytes()) == (tmp_path / "evidence.zip", CONTENT)
    assert server.asked[0].path == "/v1/reports/rep_1/download"
