from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from distillery import AsyncClient, Client, _resuming, _uploading, errors
from tests.unit.client.http_server import Answer, Asked, problem, serving
from tests.unit.client.test_uploading import Service

CONTENT = bytes(range(256)) * 40


class Resumable(Service):
    """Keeps what PATCH brings; `breaks` maps the number of a PATCH to what happens instead of an answer."""

    def __init__(self, **breaks: Any) -> None:
        super().__init__()
        self.got = b""
        self.patches = 0
        self.breaks: dict[int, Any] = {int(name.removeprefix("at_")): what for name, what in breaks.items()}

    def __call__(self, asked: Asked) -> Answer:
        match asked.method, asked.path:
            case "POST", "/v1/uploads":
                return Answer(201, b"{}", {"Location": "/v1/uploads/upl_1", "Upload-Offset": "0"})
            case "HEAD", "/v1/uploads/upl_1":
                return Answer(200, b"", {"Upload-Offset": str(len(self.got))})
            case "PATCH", "/v1/uploads/upl_1":
                self.patches += 1
                kept, answer = self.breaks.get(self.patches, (len(asked.body), None))
                if int(asked.headers["upload-offset"]) != len(self.got):
                    return problem(409, "upload_offset_conflict")
                self.got += asked.body[:kept]
                return answer or Answer(204, b"", {"Upload-Offset": str(len(self.got))})
            case _:
                return super().__call__(asked)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_uploading, "RESUMABLE_ABOVE_BYTES", 1000)
    monkeypatch.setattr(_resuming, "PIECE_BYTES", 4096)
    monkeypatch.setattr(_resuming, "_CHUNK_BYTES", 1000)
    monkeypatch.setattr(_resuming, "_pause_s", lambda broken: 0.0)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "clicks.csv"
    path.write_bytes(CONTENT)
    return path


# An answer that ends the connection before it says anything: what a killed server looks like.
CUT = Answer(204, b"x" * 10, {"Content-Length": "10"}, cut_after=0)


def test_large_upload_when_nothing_breaks_then_sent_in_pieces_with_its_digest(large: Path) -> None:
    service, told = Resumable(), []
    with serving(service) as server, Client(server.url, "k") as client:
        client.datasets.upload(large, kind="interactions", progress=told.append)
    assert service.got == CONTENT
    assert service.patches == 3
    begin = next(asked for asked in server.asked if asked.path == "/v1/uploads")
    pairs = dict(pair.split(" ") for pair in begin.headers["upload-metadata"].split(","))
    values = {name: base64.b64decode(value).decode() for name, value in pairs.items()}
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert values == {"dataset": "ds_1", "path": "clicks.csv", "sha256": digest}
    assert begin.headers["upload-length"] == str(len(CONTENT))
    sent = [what.sent for what in told if isinstance(what, _uploading.Uploaded)]
    assert sent == sorted(sent)
    assert sent[-1] == len(CONTENT)


def test_small_upload_when_sent_then_put_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"x" * 1000)
    service = Resumable()
    with serving(service) as server, Client(server.url, "k") as client:
        client.datasets.upload(tmp_path / "a.csv", kind="interactions")
    assert service.files == {"a.csv": b"x" * 1000}
    assert service.patches == 0


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param((1500, CUT), id="cut-in-the-middle"),
        pytest.param((0, problem(503, "stopping")), id="503"),
        pytest.param((0, problem(423, "upload_locked")), id="locked"),
        pytest.param((4096, CUT), id="answer-lost"),
    ],
)
def test_large_upload_when_a_piece_breaks_then_goes_on_where_the_service_says(large: Path, broken: Any) -> None:
    service = Resumable(at_2=broken)
    with serving(service) as server, Client(server.url, "k") as client:
        client.datasets.upload(large, kind="interactions")
    assert service.got == CONTENT
    assert "HEAD /v1/uploads/upl_1" in server.paths()


def test_large_upload_when_the_last_answer_is_lost_then_done(large: Path) -> None:
    service = Resumable(at_3=(4096, CUT))
    with serving(service) as server, Client(server.url, "k") as client:
        client.datasets.upload(large, kind="interactions")
    assert (service.got, service.patches) == (CONTENT, 3)


def test_async_large_upload_when_a_piece_breaks_then_goes_on(large: Path) -> None:
    service = Resumable(at_2=(1500, CUT))

    async def run(url: str) -> None:
        async with AsyncClient(url, "k") as client:
            await client.datasets.upload(large, kind="interactions")

    with serving(service) as server:
        asyncio.run(run(server.url))
    assert service.got == CONTENT


def test_large_upload_when_it_never_gets_on_then_raises_what_was_wrong(large: Path) -> None:
    service = Resumable(**{f"at_{n}": (0, problem(503, "stopping")) for n in range(2, 40)})
    with serving(service) as server, Client(server.url, "k") as client, pytest.raises(errors.ServerError):
        client.datasets.upload(large, kind="interactions")
    assert service.patches == 10


def test_large_upload_when_refused_for_good_then_not_tried_again(large: Path) -> None:
    service = Resumable(at_1=(0, problem(403, "quota_exceeded")))
    with serving(service) as server, Client(server.url, "k") as client, pytest.raises(errors.QuotaExceeded):
        client.datasets.upload(large, kind="interactions")
    assert service.patches == 1
