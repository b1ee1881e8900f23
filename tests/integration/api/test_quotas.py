"""Quotas and backpressure: what a tenant may store and compute, and what happens beyond that."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import Engine, select, text
from starlette.testclient import TestClient

from app.jobs.sweep import Sweeper
from app.settings import Settings
from app.store.blobs import StoredBlob
from app.store.loose_bytes import note_blob
from app.store.tables import job
from tests.integration.api.conftest import Api, add_worker, change_method
from tests.integration.api.test_retention import sweep
from tests.integration.api.test_uploads import CONTENT, TUS, begin, head, patch
from tests.scanning import files_below
from worker.runtime.supervise import Supervisor

MB = bytes(1_000_000)


@contextmanager
def changed(client: TestClient, **values: Any) -> Iterator[None]:
    """The running process with other settings."""
    settings: Settings = client.app.state.services.settings
    before = {name: getattr(settings, name) for name in values}
    for name, value in values.items():
        setattr(settings, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(settings, name, value)


def give(engine: Engine, api: Api, **limits: Any) -> None:
    """Limits of this tenant's own."""
    with engine.begin() as conn:
        conn.execute(
            text("UPDATE tenant SET limits = :limits WHERE id = :id"),
            {"limits": json.dumps(limits), "id": api.tenant_id},
        )


def put(api: Api, dataset: str, path: str, content: Any, **options: Any) -> tuple[int, str]:
    answer = api.put(f"/v1/datasets/{dataset}/files/{path}", content=content, **options)
    return answer.status_code, answer.json().get("code", "")


def test_put_when_beyond_the_quota_then_403_and_nothing_kept(api: Api, client: TestClient) -> None:
    dataset = api.dataset()["id"]
    with changed(client, quota_stored_bytes=1_500_000):
        assert put(api, dataset, "a", MB)[0] == 201
        assert put(api, dataset, "b", MB[1:]) == (403, "quota_exceeded")
        # A body of unknown length is refused as soon as it no longer fits.
        assert put(api, dataset, "b", iter([MB[1:]])) == (403, "quota_exceeded")
    # The same bytes take room while they come, and none once they are known to be there.
    with changed(client, quota_stored_bytes=2_000_000):
        assert put(api, dataset, "c", iter([MB]))[0] == 201
        digest = {"Content-Digest": f"sha-256=:{_base64_sha256(MB)}:"}
        assert put(api, dataset, "a", MB, headers=digest)[0] == 200
    assert [file["path"] for file in api.get(f"/v1/datasets/{dataset}/files").json()["items"]] == ["a", "c"]
    assert api.get("/v1/usage").json()["stored_bytes"]["used"] == len(MB)


def test_quota_when_the_tenant_has_its_own_then_that_counts(api: Api, other: Api, client: TestClient, engine) -> None:
    give(engine, api, stored_bytes=500_000)
    with changed(client, quota_stored_bytes=2_000_000):
        assert put(api, api.dataset()["id"], "a", MB) == (403, "quota_exceeded")
        assert put(other, other.dataset()["id"], "a", MB)[0] == 201
        assert api.get("/v1/usage").json()["stored_bytes"] == {"used": 0, "limit": 500_000}
    give(engine, api, stored_bytes=0)
    assert api.get("/v1/usage").json()["stored_bytes"]["limit"] is None


def test_quota_when_it_cannot_be_read_then_nothing_is_granted(api: Api, engine: Engine) -> None:
    dataset = api.dataset()["id"]
    give(engine, api, stored_bytes="plenty")
    assert put(api, dataset, "a", b"1")[0] == 500
    assert api.get(f"/v1/datasets/{dataset}/files").json()["items"] == []


def test_quota_when_many_put_at_once_then_never_exceeded(api: Api, client: TestClient) -> None:
    dataset = api.dataset()["id"]
    answers: list[int] = []

    def one(number: int) -> None:
        content = iter([bytes([number]) * 400_000])  # no length: only the last check can refuse it
        answers.append(put(api, dataset, f"f{number}", content)[0])

    with changed(client, quota_stored_bytes=1_000_000):
        threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == [201] * 2 + [403] * 6
    assert api.get("/v1/usage").json()["stored_bytes"]["used"] == 800_000


def test_resumable_upload_when_begun_then_its_room_is_taken_at_once(api: Api, client: TestClient) -> None:
    dataset = api.dataset()["id"]
    with changed(client, quota_stored_bytes=len(CONTENT) + 10):
        where = begin(api, dataset=dataset).headers["location"]
        assert api.get("/v1/usage").json()["stored_bytes"]["used"] == len(CONTENT)
        assert begin(api, dataset=dataset, path="b").json()["code"] == "quota_exceeded"
        assert patch(api, where, 0, CONTENT).status_code == 204
        assert api.get("/v1/usage").json()["stored_bytes"]["used"] == len(CONTENT)
        assert head(api, where).status_code == 200
        # What is said to be stored already takes room all the same: what comes may be something else.
        known = begin(api, dataset=dataset, path="c", sha256=hashlib.sha256(CONTENT).hexdigest())
        assert known.json()["code"] == "quota_exceeded"


def test_resumable_uploads_when_many_are_unfinished_then_no_more_begin(api: Api, client: TestClient) -> None:
    dataset = api.dataset()["id"]
    with changed(client, upload_limit=2):
        first = begin(api, dataset=dataset, path="a").headers["location"]
        assert begin(api, dataset=dataset, path="b").status_code == 201
        assert begin(api, dataset=dataset, path="c").json()["code"] == "quota_exceeded"
        assert patch(api, first, 0, CONTENT).status_code == 204
        assert begin(api, dataset=dataset, path="c").status_code == 201


class Disk:
    """What the files of a running API take on the disk."""

    def __init__(self, settings: Settings) -> None:
        self._folders = (settings.blob_dir, settings.staging_dir)
        self._before = self._now()

    @property
    def grown(self) -> int:
        """Bytes by which it has grown."""
        return self._now() - self._before

    def _now(self) -> int:
        sizes: dict[int, int] = {}
        for path in files_below(*self._folders):
            with suppress(FileNotFoundError):
                sizes[path.stat().st_ino] = path.stat().st_size
        return sum(sizes.values())


QUOTA = 1_000_000


def some(number: int, size: int = 300_000) -> bytes:
    """Different bytes for each number and each run."""
    return hashlib.sha256(os.urandom(8) + bytes([number])).digest() + bytes(size - 32)


def by_replacing(api: Api, dataset: str, number: int) -> Any:
    return put(api, dataset, "a", some(number))[0]


def by_deleting(api: Api, dataset: str, number: int) -> Any:
    status = put(api, dataset, f"f{number}", some(number))[0]
    api.delete(f"/v1/datasets/{dataset}/files/f{number}")
    return status


def by_wrong_digests(api: Api, dataset: str, number: int) -> Any:
    digest = {"Content-Digest": f"sha-256=:{_base64_sha256(b'other')}:"}
    return put(api, dataset, "a", some(number), headers=digest)[0]


def by_digests_of_stored_files(api: Api, dataset: str, number: int) -> Any:
    assert put(api, dataset, "tiny", b"tiny")[0] in (200, 201)
    digest = {"Content-Digest": f"sha-256=:{_base64_sha256(b'tiny')}:"}
    return put(api, dataset, "a", some(number), headers=digest)[0]


def by_chunks(api: Api, dataset: str, number: int) -> Any:
    pieces = iter([some(number)] + [bytes(500_000)] * 10)
    return put(api, dataset, f"f{number}", pieces)[0]


def by_wrong_digests_of_resumable_uploads(api: Api, dataset: str, number: int) -> Any:
    content = some(number)
    begun = begin(api, dataset=dataset, length=len(content), sha256="0" * 64)
    return patch(api, begun.headers["location"], 0, content).status_code if "location" in begun.headers else 403


def by_resumable_uploads_of_stored_files(api: Api, dataset: str, number: int) -> Any:
    assert put(api, dataset, "tiny", b"tiny")[0] in (200, 201)
    content = some(number)
    known = hashlib.sha256(b"tiny").hexdigest()
    begun = begin(api, dataset=dataset, path=f"f{number}", length=len(content), sha256=known)
    if "location" not in begun.headers:
        return 403
    return patch(api, begun.headers["location"], 0, content[:-1]).status_code


def by_resumable_uploads_of_deleted_datasets(api: Api, _: str, number: int) -> Any:
    dataset, content = api.dataset()["id"], some(number)
    begun = begin(api, dataset=dataset, length=len(content))
    if "location" not in begun.headers:
        return 403
    api.delete(f"/v1/datasets/{dataset}", headers={"If-Match": "*"})
    status = patch(api, begun.headers["location"], 0, content).status_code
    api.request("DELETE", begun.headers["location"], headers=TUS)
    return status


WAYS = [
    by_replacing,
    by_deleting,
    by_wrong_digests,
    by_digests_of_stored_files,
    by_chunks,
    by_wrong_digests_of_resumable_uploads,
    by_resumable_uploads_of_stored_files,
    by_resumable_uploads_of_deleted_datasets,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_disk_when_a_tenant_goes_round_its_quota_then_holds_no_more_than_that(
    api: Api, client: TestClient, settings: Settings, way: Any
) -> None:
    dataset, disk = api.dataset()["id"], Disk(settings)
    with changed(client, quota_stored_bytes=QUOTA):
        for number in range(8):
            way(api, dataset, number)
            used = api.get("/v1/usage").json()["stored_bytes"]["used"]
            assert disk.grown <= used <= QUOTA


def test_deleted_file_when_swept_then_no_longer_counts(api: Api, client: TestClient, engine: Engine) -> None:
    dataset = api.dataset()["id"]
    with changed(client, quota_stored_bytes=QUOTA):
        for number in range(3):
            assert by_replacing(api, dataset, number) in (200, 201)
        assert by_replacing(api, dataset, 3) == 403
        sweep(engine, api)
        assert api.get("/v1/usage").json()["stored_bytes"]["used"] == 300_000
        assert by_replacing(api, dataset, 4) == 200
    with engine.connect() as conn:
        loose = "SELECT count(*) FROM loose_bytes WHERE tenant_id = :id"
        assert conn.scalar(text(loose), {"id": api.tenant_id}) == 1, "only the file that was replaced last"


def test_sweep_when_a_file_is_about_to_be_referred_to_then_it_still_counts(api: Api, engine: Engine) -> None:
    stored = api.stored({"a": some(1)})["a"]
    with engine.begin() as conn:
        note_blob(conn, api.tenant_id, stored)
        note_blob(conn, api.tenant_id, StoredBlob("f" * 64, 7))  # its bytes will be there in a moment
        Sweeper(api.blobs, grace_s=86_400).sweep(conn)
    assert api.get("/v1/usage").json()["stored_bytes"]["used"] == 300_007


def test_bodies_when_many_come_at_once_without_a_length_then_all_of_them_count(
    api: Api, client: TestClient, settings: Settings
) -> None:
    """The bytes of bodies that are still coming count too: together they cannot fill the disk."""
    dataset, disk = api.dataset()["id"], Disk(settings)
    all_at_work, seen = threading.Barrier(6), [0]

    def body() -> Iterator[bytes]:
        for _ in range(2):
            yield bytes(1 << 20)
            with suppress(threading.BrokenBarrierError):
                all_at_work.wait(3)
            seen.append(disk.grown)

    with changed(client, quota_stored_bytes=3 << 20):
        threads = [threading.Thread(target=lambda n=n: put(api, dataset, f"f{n}", body())) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert max(seen) <= 3 << 20
    assert disk.grown <= 3 << 20


def test_jobs_when_the_whole_queue_fills_then_429_and_who_comes_later_still_finds_room(
    api: Api, other: Api, client: TestClient, engine: Engine
) -> None:
    reference, theirs = api.version(), other.version()
    api.job(reference)

    def ask(one: Api, seed: int) -> Any:
        asked = {"dataset": reference if one is api else theirs, "method": "auto", "seed": seed}
        return one.post("/v1/jobs", json=asked)

    with engine.connect() as conn:
        waiting = conn.execute(text("SELECT count(*) FROM job WHERE state = 'queued'")).scalar_one()
    with changed(client, queue_total_limit=waiting + 3):
        assert ask(api, 1).status_code == 202
        assert ask(api, 2).json()["code"] == "queue_full", "it has as many as are left"
        assert ask(other, 1).status_code == 202
        refused = ask(other, 2)
        assert (refused.status_code, refused.json()["code"]) == (429, "queue_full")
        assert int(refused.headers["retry-after"]) > 0


def test_datasets_when_there_are_as_many_as_may_be_then_refused_until_one_goes(api: Api, client: TestClient) -> None:
    with changed(client, dataset_limit=2):
        first = api.dataset()["id"]
        api.dataset()
        refused = api.post("/v1/datasets", json={"name": "x", "kind": "interactions"})
        assert (refused.status_code, refused.json()["code"]) == (403, "quota_exceeded")
        assert api.delete(f"/v1/datasets/{first}", headers={"If-Match": "*"}).status_code == 204
        api.dataset()


def test_commit_when_the_queue_is_full_then_429_and_no_version(api: Api, engine: Engine) -> None:
    reference = api.version()
    give(engine, api, queued_jobs=1)
    api.job(reference)
    dataset = reference.partition("@")[0]
    refused = api.post(f"/v1/datasets/{dataset}/commit")
    assert (refused.status_code, refused.json()["code"]) == (429, "queue_full")
    assert len(api.get(f"/v1/datasets/{dataset}/versions").json()["items"]) == 1
    assert api.get("/v1/usage").json()["queued_jobs"] == {"used": 1, "limit": 1}


def test_gpu_job_when_the_seconds_of_the_day_are_used_then_403(api: Api, client: TestClient, engine: Engine) -> None:
    reference = api.version()
    change_method(engine, "head-users", device="any")
    add_worker(engine)
    done = api.job(reference, device="cuda")
    with engine.begin() as conn:
        conn.execute(
            text(
                "INSERT INTO job_attempt"
                " (job_id, fence, tenant_id, attempt, worker_id, started_at, ended_at, gpu_s) VALUES"
                " (:id, 1, :t, 1, 'w', now() - interval '3 days', now() - interval '2 days', 86400),"
                " (:id, 2, :t, 2, 'w', now() - interval '25 hours', now() - interval '23 hours', NULL),"
                " (:id, 3, :t, 3, 'w', now() - interval '20 hours', now() - interval '19 hours', 0),"
                " (:id, 4, :t, 4, 'w', now() - interval '200 seconds', now() - interval '100 seconds', 40),"
                " (:id, 5, :t, 5, 'w', now() - interval '100 seconds', NULL, NULL)"
            ),
            {"id": done["id"], "t": api.tenant_id},
        )
    used = api.get("/v1/usage").json()["gpu_s_per_day"]["used"]
    assert used == pytest.approx(3600 + 0 + 40 + 100, abs=20)
    with changed(client, quota_gpu_s_per_day=3000):
        body = {"dataset": reference, "method": "head-users", "seed": 1}
        refused = api.post("/v1/jobs", json={**body, "device": "cuda"})
        assert (refused.status_code, refused.json()["code"]) == (403, "quota_exceeded")
        # One that would only have liked a GPU does without.
        assert api.post("/v1/jobs", json=body).json()["queue"] == "cpu"
    assert api.post("/v1/jobs", json={**body, "seed": 2}).json()["queue"] == "gpu"


def test_worker_when_short_of_disk_then_claims_nothing(
    api: Api, settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = api.job()["id"]
    usage = shutil.disk_usage("/")
    worker = Supervisor(engine, settings, None, "w_short")  # no child is started
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10**9))
        worker.work()
        assert api.state_of(job_id) == "queued"
    with pytest.raises(AttributeError):
        worker.work()
    with engine.connect() as conn:  # the first in turn, this one or one that another test left
        assert conn.scalars(select(job.c.state).where(job.c.worker_id == "w_short")).all() == ["running"]


def _base64_sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode()
