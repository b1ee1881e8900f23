"""A disk without room: jobs say so and are tried again, leave nothing behind, and do not take others with them."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from app.embedded.accounts import postgres_account
from app.embedded.home import Home
from tests.faults.failing_disk import CALLS
from tests.faults.misbehaving import Misbehaving, in_workers, misbehaving
from tests.service import Service

pytestmark = [
    pytest.mark.faults,
    pytest.mark.fault_row(
        9,
        "files on a tmpfs of 64 MB; ENOSPC at fsync, rename, mkdir",
        "clear `disk_full`, staging removed, other jobs unharmed",
        target="5 tries",
    ),
]
MB = 1_000_000


class SmallDisk:
    """A home on a file system of 64 MB; the engines and the logs, which are not to fail, have others."""

    def __init__(self) -> None:
        self._mounted: list[Path] = []

    def mount_on(self, service: Service) -> None:
        home, postgres = Home(service.home), postgres_account()
        self._mount(home.path, "size=64m,mode=711")
        for folder in (home.redis, home.logs, home.run, home.engines):
            self._mount(folder, "size=512m,mode=700" if folder != home.engines else "size=512m,mode=711")
        assert postgres is not None
        self._mount(home.postgres, f"size=1g,mode=700,uid={postgres.uid},gid={postgres.gid}")

    def mount_whole(self, service: Service) -> None:
        """The database, the broker, the logs and the state on it, too."""
        self._mount(Home(service.home).path, "size=400m,mode=711")

    def release(self) -> None:
        for folder in reversed(self._mounted):
            subprocess.run(["umount", folder], check=True)
        shutil.rmtree(self._mounted[0], ignore_errors=True)

    def _mount(self, folder: Path, options: str) -> None:
        folder.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
        self._mounted.append(folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    if os.geteuid() != 0:
        pytest.skip("mounting a tmpfs needs root")
    trial = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path], capture_output=True, text=True, check=False)
    if trial.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {trial.stderr.strip()}")
    subprocess.run(["umount", tmp_path], check=True)
    disk = SmallDisk()
    yield disk
    disk.release()


def staged(at: Misbehaving) -> list[str]:
    return [path.name for path in Home(at.service.home).staging.iterdir()]


def test_disk_when_a_job_fills_it_then_disk_full_and_the_others_succeed(small_disk: SmallDisk, measured):
    settings = {"disk_reserve_bytes": MB, "checkpoint_every_s": 0, "slots": 2}
    with misbehaving(before=small_disk.mount_on, **settings) as at:
        worker, free = at.service.pid("worker"), shutil.disk_usage(at.service.home).free
        assert free < 64 * 2**20
        greedy = at.start("fill-disk", {"mb": 200})
        others = [at.start("no-op", seed=seed) for seed in range(6)]
        for job_id in others:
            assert at.finish(job_id)["state"] == "succeeded"
        job = at.finish(greedy, seconds=120)
        assert (job["state"], job["error"]["code"], job["attempt"]) == ("failed", "disk_full", 5)
        assert job["error"]["hint"]
        measured("tries", job["attempt"], target=5)
        Service.wait(lambda: staged(at) == [], 5, "the staging folder to be empty")
        assert at.service.pid("worker") == worker

        dataset = at.http.post("/v1/datasets", json={"name": "large", "kind": "notes"}).json()["id"]
        answer = at.http.put(f"/v1/datasets/{dataset}/files/large.bin", content=bytes(100 * MB))
        assert (answer.status_code, answer.json()["code"]) == (507, "insufficient_storage")
        assert staged(at) == []
        assert free - shutil.disk_usage(at.service.home).free < 3 * MB, "something large was left"
        assert at.finish(at.start("fill-disk", {"mb": 10}))["state"] == "succeeded"


def is_ready(at: Misbehaving) -> bool:
    try:
        return at.http.get("/readyz").json()["status"] == "ready"
    except httpx.TransportError:
        return False


def test_disk_when_database_and_files_fill_it_then_everything_goes_on_once_there_is_room(
    small_disk: SmallDisk, measured
):
    """Nothing is expected of the service meanwhile but to be there, and to say why it can do nothing."""
    with misbehaving(before=small_disk.mount_whole, disk_reserve_bytes=MB) as at:
        assert at.finish(at.start("no-op"))["state"] == "succeeded"
        supervisor = at.service.state()["pid"]
        waits = at.start("dawdle", {"steps": 30, "pause_s": 0.2})
        filler = at.service.home / "filler"
        with filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(MB))
        answers: set[int] = set()
        for seed in range(100, 120):
            with suppress(httpx.TransportError):  # while Postgres or the API starts again
                answers.add(
                    at.http.post("/v1/jobs", json={"method": "no-op", "dataset": at.notes, "seed": seed}).status_code
                )
            time.sleep(0.5)
        assert answers <= {202, 503, 507}, answers
        assert Path(f"/proc/{supervisor}").exists()
        filler.unlink()
        freed = time.monotonic()
        Service.wait(lambda: is_ready(at), 60, "the service to be ready again")
        assert at.finish(waits, seconds=90)["state"] == "succeeded"
        assert at.finish(at.start("no-op", seed=7), seconds=60)["state"] == "succeeded"
        measured("goes on", time.monotonic() - freed, "s", target=60)
        assert at.service.state()["pid"] == supervisor
        assert at.service.state()["state"] == "ready"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder whose files let calls fail."""
    return tmp_path_factory.mktemp("told")


@pytest.fixture(scope="module")
def at(told: Path) -> Iterator[Misbehaving]:
    failing = in_workers(
        told / "path", f"from tests.faults.failing_disk import fail_when_told; fail_when_told({str(told)!r})"
    )
    with misbehaving(failing, checkpoint_every_s=0, slots=2) as running:
        assert running.notes
        yield running


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("method", "params"), [("no-op", {}), ("fill-disk", {"mb": 1})], ids=["result", "checkpoint"])
def test_jobs_when_a_call_finds_no_room_then_disk_full_and_success_once_there_is_some(
    at: Misbehaving, told: Path, call: str, method: str, params: dict[str, int]
):
    worker = at.service.pid("worker")
    (told / call).touch()
    try:
        never = at.start(method, params)
        job = at.finish(never)
        assert (job["state"], job["error"]["code"], job["attempt"]) == ("failed", "disk_full", 5)
        assert [event["data"].get("reason") for event in at.events(never)].count("disk_full") == 4
        again = at.start(method, params)
        Service.wait(lambda: "requeued" in [event["type"] for event in at.events(again)], 30, "one try to fail")
    finally:
        (told / call).unlink()
    job = at.finish(again)
    assert (job["state"], job["attempt"] > 1) == ("succeeded", True)
    Service.wait(lambda: staged(at) == [], 5, "the staging folder to be empty")
    assert at.service.pid("worker") == worker
