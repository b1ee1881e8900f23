"""Files that go straight to and from another server: by its address, without our key."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from distillery import AsyncClient, Client, _downloading, _uploading, errors
from distillery._effects import Pause
from distillery._uploading import Uploaded
from tests.unit.client.http_server import Answer, Asked, Script, document, problem, serving
from tests.unit.client.test_downloading import CONTENT, entry
from tests.unit.client.test_uploading import Service

SIGNED = "/blobs/x?X-Amz-Signature=abc"


@pytest.fixture(autouse=True)
def small_files_go_direct(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_uploading, "DIRECT_BYTES", range(1, 10**9))
    monkeypatch.setattr(_downloading, "Pause", lambda seconds: Pause(0.0))


def away(there: str) -> Script:
    """A service whose only file lies `there`."""

    def script(asked: Asked) -> Answer:
        if asked.path == "/v1/summaries/sum_1":
            return document({"id": "sum_1", "files": [entry("data.npz", CONTENT)]})
        return Answer(307, b"", {"Location": there + SIGNED})

    return script


def store(cuts: list[int], content: bytes = CONTENT) -> Script:
    """The other server; the n-th answer breaks off after `cuts[n]` bytes."""

    def script(asked: Asked) -> Answer:
        wanted = asked.headers.get("range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        cut = cuts.pop(0) if cuts else None
        return Answer(206 if start else 200, content[start:], {"ETag": '"theirs"'}, cut_after=cut)

    return script


def in_both(url: str, work: Callable[[Client | AsyncClient], object]) -> None:
    """The same with the blocking and with the asynchronous client."""
    with Client(url, "dsk_key") as client:
        work(client)

    async def asynchronous() -> None:
        async with AsyncClient(url, "dsk_key") as other:
            await work(other)

    asyncio.run(asynchronous())


def test_download_when_sent_elsewhere_and_broken_off_then_resumes_there_without_the_key(tmp_path: Path) -> None:
    cuts: list[int] = []
    with serving(store(cuts)) as there, serving(away(there.url)) as server:

        def work(client: Client | AsyncClient) -> object:
            cuts[:] = [100_000]
            (tmp_path / "data.npz").unlink(missing_ok=True)
            return client.summary("sum_1").download(tmp_path)

        in_both(server.url, work)
        assert (tmp_path / "data.npz").read_bytes() == CONTENT
        assert [asked.headers.get("range") for asked in there.asked] == [None, "bytes=100000-"] * 2
        assert all("authorization" not in asked.headers for asked in there.asked)
        assert all(asked.path == SIGNED for asked in there.asked)
        assert all(asked.headers["authorization"] == "Bearer dsk_key" for asked in server.asked)


def test_download_when_the_other_server_sends_other_bytes_then_nothing_is_kept(tmp_path: Path) -> None:
    with (
        serving(store([], CONTENT[::-1])) as there,
        serving(away(there.url)) as server,
        Client(server.url, "k") as client,
    ):
        with pytest.raises(errors.DigestMismatch):
            client.summary("sum_1").download(tmp_path)
        assert list(tmp_path.iterdir()) == []


def test_download_when_the_other_server_is_away_then_the_error_names_it(tmp_path: Path) -> None:
    named = pytest.raises(errors.ConnectError, match=r"127\.0\.0\.1:9\b")
    with serving(away("http://127.0.0.1:9")) as server, Client(server.url, "k") as client, named:
        client.summary("sum_1").download(tmp_path)


def test_upload_when_addresses_are_given_then_bytes_go_there_as_signed_and_without_the_key(tmp_path: Path) -> None:
    (tmp_path / "clicks.csv").write_bytes(CONTENT)
    refuse = [Answer(503)]

    def take(asked: Asked) -> Answer:
        return refuse.pop() if refuse else Answer(200)

    with serving(take) as there:

        class Presigning(Service):
            def __call__(self, asked: Asked) -> Answer:
                if asked.path != "/v1/datasets/ds_1/upload-urls":
                    return super().__call__(asked)
                [file] = asked.json["files"]
                assert file == entry("clicks.csv", CONTENT)
                headers = {"Content-Length": str(file["size"]), "x-amz-checksum-sha256": "abc="}
                return document({"files": [{**file, "method": "PUT", "url": there.url + SIGNED, "headers": headers}]})

        service = Presigning()
        told: list[Any] = []  # bytes first, then the events of the job that reads them
        with serving(service) as server, Client(server.url, "k") as client:
            client.datasets.upload(tmp_path, kind="interactions", progress=told.append)
        assert service.files == {}
        first, second = there.asked
        assert first.method == second.method == "PUT"
        assert hashlib.sha256(second.body).digest() == hashlib.sha256(CONTENT).digest()
        assert second.headers["x-amz-checksum-sha256"] == "abc="
        assert second.headers["content-length"] == str(len(CONTENT))
        assert "transfer-encoding" not in second.headers
        assert "authorization" not in second.headers
        sent = [news for news in told if isinstance(news, Uploaded)][-1]
        assert sent.sent == sent.total == len(CONTENT)


@pytest.mark.parametrize("refusal", [problem(422, "unsupported"), problem(404, "not_found"), problem(405, "x")])
def test_upload_when_no_addresses_are_given_then_bytes_go_to_the_service(tmp_path: Path, refusal: Answer) -> None:
    (tmp_path / "clicks.csv").write_bytes(CONTENT)

    class Local(Service):
        def __call__(self, asked: Asked) -> Answer:
            return refusal if asked.path.endswith("/upload-urls") else super().__call__(asked)

    service = Local()
    with serving(service) as server, Client(server.url, "k") as client:
        client.datasets.upload(tmp_path, kind="interactions")
    assert service.files == {"clicks.csv": CONTENT}


def test_upload_when_the_service_refuses_the_file_then_so_does_the_client(tmp_path: Path) -> None:
    (tmp_path / "clicks.csv").write_bytes(CONTENT)

    class Full(Service):
        def __call__(self, asked: Asked) -> Answer:
            full = problem(403, "quota_exceeded")
            return full if asked.path.endswith("/upload-urls") else super().__call__(asked)

    with serving(Full()) as server, Client(server.url, "k") as client:
        with pytest.raises(errors.APIError) as refused:
            client.datasets.upload(tmp_path, kind="interactions")
        assert refused.value.code == "quota_exceeded"
