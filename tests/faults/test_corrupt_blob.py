"""One byte of a stored file changed: whoever reads it is told, nobody gets it whole, and storing it again mends it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, select

from app.embedded.home import Home
from app.jobs.checkpoint import save_checkpoint
from app.jobs.claim import claim_job
from app.settings import Settings
from app.store.blobs import LocalBlobs
from app.store.tables import artifact, job
from distillery.errors import DigestMismatch, DistilleryError
from tests.faults.invariants import database
from tests.faults.misbehaving import Misbehaving
from tests.integration.jobs.conftest import engine, queue_job
from tests.planted import planted_csv
from tests.service import Service
from worker.runtime.prepare import prepare

__all__ = ["engine"]

pytestmark = [
    pytest.mark.faults,
    pytest.mark.fault_row(14, "one byte of a stored file flipped", "`corrupt_blob`, never silent"),
]
EVALUATE = {"learners": ["popularity"], "bootstrap": 100, "draws": 1}
LARGE = 3_000_000


@pytest.fixture(scope="module")
def planted(at: Misbehaving, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return planted_csv(Path(tmp_path_factory.mktemp("data")) / "planted.csv")


@pytest.fixture(scope="module")
def dataset(at: Misbehaving, planted: Path) -> str:
    with at.service.client as client:
        return client.datasets.upload(str(planted), kind="interactions").reference


@pytest.fixture(scope="module")
def summary(at: Misbehaving, dataset: str) -> str:
    job = at.finish(at.start("random-users", {"budget": 20}, dataset=dataset, evaluate=EVALUATE))
    return job["result"]["summary"]


def stored(at: Misbehaving, owner: str, path: str) -> Path:
    """Where the bytes of an artifact lie."""
    with database(at.service) as conn:
        sha256 = conn.scalar(select(artifact.c.sha256).where(artifact.c.owner == owner, artifact.c.path == path))
    assert sha256 is not None, f"{owner} has no {path}"
    return Home(at.service.home).blobs / "sha256" / sha256[:2] / sha256


@contextmanager
def flipped(path: Path, position: int = -10) -> Iterator[str]:
    """The file with one bit of one byte changed; its hash. Mended afterwards."""
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[position] ^= 1
    path.chmod(0o640)
    path.write_bytes(damaged)
    try:
        yield path.name
    finally:
        path.chmod(0o640)
        path.write_bytes(whole)
        path.chmod(0o440)


def cut_off(at: Misbehaving, address: str, size: int) -> None:
    """The answer never comes to its end."""
    received = 0
    with pytest.raises(httpx.RemoteProtocolError), at.http.stream("GET", address) as answer:  # noqa: PT012
        assert (answer.status_code, int(answer.headers["content-length"])) == (200, size)
        for chunk in answer.iter_raw():
            received += len(chunk)
    assert received < size


def a_file_of(at: Misbehaving, summary: str) -> str:
    return next(file["path"] for file in at.http.get(f"/v1/summaries/{summary}").json()["files"] if file["size"] > 10)


def test_file_when_a_byte_is_flipped_then_no_download_and_the_operator_learns_which(
    at: Misbehaving, summary: str, tmp_path: Path
):
    name = a_file_of(at, summary)
    address = f"/v1/summaries/{summary}/files/{name}"
    with flipped(stored(at, summary, name)) as sha256:
        answer = at.http.get(address)
        assert (answer.status_code, answer.json()["code"]) == (500, "corrupt_blob")
        assert sha256 in at.service.logs("api")
        with at.service.client as client, pytest.raises(DistilleryError):
            client.summary(summary).download(tmp_path / "files")
    assert not (tmp_path / "files" / name).exists()
    assert at.http.get(address).status_code == 200


def test_zip_when_a_byte_was_flipped_before_it_was_first_made_then_corrupt_blob(at: Misbehaving, summary: str):
    """The zip has a hash of its own, which would be that of the damaged zip."""
    with flipped(stored(at, summary, a_file_of(at, summary))) as sha256:
        answer = at.http.get(f"/v1/summaries/{summary}/download")
        assert (answer.status_code, answer.json()["code"]) == (500, "corrupt_blob")
        assert sha256 in at.service.logs("api")


def test_zip_when_a_byte_was_flipped_after_it_was_made_then_it_never_arrives_whole(
    at: Misbehaving, summary: str, tmp_path: Path
):
    address = f"/v1/summaries/{summary}/download"
    whole = at.http.get(address).raise_for_status()
    with flipped(stored(at, summary, a_file_of(at, summary))):
        cut_off(at, address, len(whole.content))
        # The client asks for the missing rest, which a server cannot check, and compares the whole by itself.
        with at.service.client as client, pytest.raises(DigestMismatch):
            client.summary(summary).download(tmp_path, as_zip=True)
    assert not list(tmp_path.iterdir())
    assert at.http.get(address).content == whole.content


def test_large_file_when_a_byte_is_flipped_then_the_answer_is_cut_off(at: Misbehaving):
    dataset = at.http.post("/v1/datasets", json={"name": "large", "kind": "notes"}).json()["id"]
    address = f"/v1/datasets/{dataset}/files/large.bin"
    at.http.put(address, content=bytes(LARGE)).raise_for_status()
    file = stored(at, dataset, "large.bin")
    with flipped(file, position=0) as sha256:
        cut_off(at, address, LARGE)
        Service.wait(lambda: sha256 in at.service.logs("api"), 5, "the log to name the file")
    with flipped(file, position=LARGE // 2):
        at.http.put(address, content=bytes(LARGE)).raise_for_status()
        assert at.http.get(address).content == bytes(LARGE), "storing a file again did not mend it"


def test_job_when_its_data_are_damaged_then_fails_at_once_and_works_once_mended(at: Misbehaving, dataset: str):
    body = {"budget": 10}
    with flipped(stored(at, dataset, "canonical/interactions.parquet")) as sha256:
        job = at.finish(at.start("random-users", body, dataset=dataset, evaluate=EVALUATE))
        assert (job["state"], job["error"]["code"], job["attempt"]) == ("failed", "corrupt_blob", 1)
        assert sha256 in job["error"]["detail"]
        assert job["result"] is None
    assert at.finish(at.start("random-users", body, dataset=dataset, evaluate=EVALUATE))["state"] == "succeeded"


def test_ingest_when_an_uploaded_file_is_damaged_then_fails_and_uploading_it_again_mends_it(
    at: Misbehaving, planted: Path
):
    dataset = at.http.post("/v1/datasets", json={"name": "damaged", "kind": "interactions"}).json()["id"]
    content = planted.read_bytes() + b"u9999,i001\n"  # bytes that no other test has stored
    address, listed = f"/v1/datasets/{dataset}/files/planted.csv", {"path": "planted.csv", "size": len(content)}
    at.http.put(address, content=content).raise_for_status()
    listed["sha256"] = hashlib.sha256(content).hexdigest()

    def ingest() -> dict:
        answer = at.http.post(f"/v1/datasets/{dataset}/commit", json={"files": [listed]})
        return at.finish(answer.raise_for_status().json()["job"]["id"])

    with flipped(stored(at, dataset, "planted.csv"), position=200):
        job = ingest()
        assert (job["state"], job["error"]["code"]) == ("failed", "corrupt_blob")
        at.http.put(address, content=content).raise_for_status()
        assert ingest()["state"] == "succeeded"


def test_checkpoint_when_damaged_then_the_job_begins_again(engine: Engine, tmp_path: Path):
    """A resume point is worth only time: without it the job is as right as with it."""
    folders = {"blob_dir": tmp_path / "blobs", "staging_dir": tmp_path / "staging"}
    settings = Settings.model_validate({"database_url": "", "broker_url": "", "secret": "", **folders})
    blobs = LocalBlobs(settings.blob_dir, settings.staging_dir)
    point = settings.staging_dir / "point"
    point.write_bytes(bytes(1000))
    kept = blobs.put_file(point)
    with engine.begin() as conn:
        row = claim_job(conn, queue_job(conn)["id"], "worker", 30.0)
        assert row is not None
        assert save_checkpoint(conn, row, kept, 1)
        row = dict(conn.execute(select(job).where(job.c.id == row["id"])).mappings().one())
        assert prepare(conn, blobs, settings, row).checkpoint
        with flipped(blobs.local_path(kept.sha256)):
            assert prepare(conn, blobs, settings, row).checkpoint == ""
