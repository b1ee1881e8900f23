"""A large resumable upload: the API killed in the middle of it, and what the API needs of memory for it."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from distillery._resuming import Sent, send_resumably
from tests.service import Service

pytestmark = pytest.mark.faults
MB = 1_000_000
TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service(upload_limit_bytes=6_000 * MB, warm_spare="false") as running:
        yield running


def large_file(folder: Path, size: int) -> tuple[Path, str]:
    """A file no part of which is like another, and its SHA-256."""
    path, digest, block = folder / "large.bin", hashlib.sha256(), os.urandom(MB)
    with path.open("wb") as file:
        for number in range(size // MB):
            piece = number.to_bytes(8, "big") + block[8:]
            file.write(piece)
            digest.update(piece)
    return path, digest.hexdigest()


def new_dataset(service: Service) -> str:
    with service.http as http:
        return http.post("/v1/datasets", json={"name": "large", "kind": "interactions"}).raise_for_status().json()["id"]


def stored(service: Service, dataset: str) -> list[dict[str, Any]]:
    with service.http as http:
        return http.get(f"/v1/datasets/{dataset}/files").raise_for_status().json()["items"]


def kill_api(service: Service) -> None:
    os.kill(service.pid("api"), signal.SIGKILL)


def offset_of(service: Service, where: str) -> int | None:
    """What HEAD says; None while the API is away."""
    try:
        with service.http as http:
            answer = http.head(where, headers=TUS)
        return int(answer.headers["upload-offset"]) if answer.status_code == 200 else None
    except (httpx.TransportError, FileNotFoundError, KeyError):
        return None


def begin(service: Service, dataset: str, size: int, sha256: str) -> str:
    values = {"dataset": dataset, "path": "large.bin", "sha256": sha256}
    metadata = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in values.items())
    with service.http as http:
        answer = http.post("/v1/uploads", headers={**TUS, "Upload-Length": str(size), "Upload-Metadata": metadata})
    return answer.raise_for_status().headers["location"]


def send_rest(service: Service, where: str, path: Path, offset: int, sent: list[int]) -> bool:
    """One PATCH with everything from `offset` on; whether it was answered. `sent`: where it has come to."""

    def body() -> Iterator[bytes]:
        with path.open("rb") as file:
            file.seek(offset)
            while chunk := file.read(MB):
                yield chunk
                sent.append(file.tell())

    headers = {**TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    try:
        with service.http as http:
            return http.patch(where, content=body(), headers=headers, timeout=120).status_code == 204
    except httpx.TransportError:
        return False


@pytest.mark.fault_row(
    3,
    "`kill -9` of the API in an upload",
    "it goes on at the acknowledged offset",
    target="what was acknowledged is there",
)
def test_upload_when_the_api_is_killed_in_one_long_patch_then_goes_on_at_the_right_offset(
    service: Service, tmp_path: Path
):
    path, digest = large_file(tmp_path, 400 * MB)
    dataset = new_dataset(service)
    where = begin(service, dataset, path.stat().st_size, digest)
    sent: list[int] = []
    sender = threading.Thread(target=send_rest, args=(service, where, path, 0, sent))
    sender.start()
    Service.wait(lambda: sent and sent[-1] >= 150 * MB, 60, "150 MB to be sent")
    kill_api(service)
    sender.join(60)
    offset = Service.wait(lambda: offset_of(service, where), 60, "the API to be back")
    # What was acknowledged lies on the disk and is the beginning of the file; at most the last pieces are lost.
    staged = service.home / "staging" / where.rpartition("/")[2]
    assert 0 < offset <= min(sent[-1], staged.stat().st_size)
    assert sent[-1] - offset < 64 * MB
    with path.open("rb") as ours, staged.open("rb") as theirs:
        while ours.tell() < offset:
            size = min(MB, offset - ours.tell())
            assert ours.read(size) == theirs.read(size)
    assert send_rest(service, where, path, offset, sent)
    assert stored(service, dataset) == [{"path": "large.bin", "size": path.stat().st_size, "sha256": digest}]
    assert not staged.exists()


@pytest.mark.fault_row(
    3,
    "`kill -9` of the API in an upload",
    "it goes on at the acknowledged offset",
    target="what was acknowledged is there",
)
def test_client_when_the_api_is_killed_twice_then_the_file_arrives(service: Service, tmp_path: Path):
    path, digest = large_file(tmp_path, 400 * MB)
    dataset = new_dataset(service)
    progress: list[int] = []
    kills = [100 * MB, 250 * MB]

    def tell(sent: int) -> None:
        progress.append(sent)
        if kills and sent >= kills[0]:
            kills.pop(0)
            kill_api(service)

    with service.client as client:
        client._transport.run(send_resumably(Sent(path, dataset, "large.bin", path.stat().st_size, digest, tell)))
    assert not kills
    assert stored(service, dataset) == [{"path": "large.bin", "size": path.stat().st_size, "sha256": digest}]
    # Only what had not been acknowledged is sent again: of each kill at most one piece.
    assert len(progress) * 1_048_576 < path.stat().st_size + 2 * 70 * MB


@contextmanager
def resident(service: Service) -> Iterator[list[int]]:
    """Resident bytes of the API, five times a second while the block runs."""
    process, seen, over = psutil.Process(service.pid("api")), list[int](), threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            seen.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


@pytest.mark.parametrize("size", [1_000 * MB, pytest.param(5_000 * MB, marks=pytest.mark.slow)])
def test_upload_when_large_then_the_api_grows_by_64_mb_at_most(service: Service, tmp_path: Path, size: int):
    small, digest = large_file(tmp_path, 100 * MB)
    with service.client as client:  # what a first upload loads is not growth
        client._transport.run(send_resumably(Sent(small, new_dataset(service), "s.bin", 100 * MB, digest)))
    path, digest = large_file(tmp_path, size)
    dataset = new_dataset(service)
    before = psutil.Process(service.pid("api")).memory_info().rss
    begun = time.monotonic()
    with resident(service) as seen, service.client as client:
        client._transport.run(send_resumably(Sent(path, dataset, "large.bin", size, digest)))
    took = time.monotonic() - begun
    path.unlink()
    print(f"{size / MB / took:.0f} MB/s, memory growth {(max(seen) - before) / MB:.1f} MB")
    assert stored(service, dataset)[0]["sha256"] == digest
    assert max(seen) - before <= 64 * MB
