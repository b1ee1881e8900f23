"""The backup of docs/operations.md, tried: pg_dump of a service at work, a copy of its files, restored elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool
from starlette.testclient import TestClient

from app.embedded.binaries import wheel_postgres
from app.embedded.postgres import APPLICATION, SUPERUSER
from app.jobs.reap import Reaper
from app.main import create_app
from app.settings import Settings
from app.store.blobs import LocalBlobs
from app.store.migrate import upgrade
from app.store.verify import wrong_files
from tests.engines import Engines
from tests.faults.invariants import address, postgres_of
from tests.landed.load import REVISIONS, load
from tests.planted import planted_csv
from tests.service import Service

pytestmark = [pytest.mark.faults]


@contextmanager
def timed(what: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - begun:.1f} s")


def tool(name: str, *arguments: str) -> None:
    with timed(name):
        subprocess.run([wheel_postgres() / "bin" / name, *arguments], check=True, timeout=60)


def plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


def run_job(service: Service, dataset: str, method: str, params: dict[str, object], state: str) -> str:
    body = {"method": method, "dataset": dataset, "params": params}
    evaluate = {"learners": ["popularity"], "bootstrap": 100, "draws": 1}
    with service.http as http:
        job_id = http.post("/v1/jobs", json={**body, "evaluate": evaluate}).raise_for_status().json()["id"]
        Service.wait(lambda: http.get(f"/v1/jobs/{job_id}").json()["state"] == state, 90, state, every_s=0.2)
    return job_id


def test_backup_when_taken_at_work_and_restored_elsewhere_then_nothing_is_missing(engines: Engines, tmp_path: Path):
    with Service(threads=1) as service:
        csv = planted_csv(tmp_path / "planted.csv")
        dataset = service.client.datasets.upload(str(csv), kind="interactions").reference
        done = run_job(service, dataset, "random-users", {"budget": 20}, "succeeded")
        running = run_job(service, dataset, "distill-cf", {"budget": 40, "steps": 5000}, "running")
        key = json.loads((service.home / "run" / "credentials").read_text())["api_key"]
        with service.http as http:
            summary = http.get(f"/v1/jobs/{done}").json()["result"]["summary"]
            original = http.get(f"/v1/summaries/{summary}/download").content

        # The database first: a file that it names is not deleted while the copy runs, and later files do no harm.
        tool("pg_dump", "--format=custom", f"--file={tmp_path / 'database.dump'}", address(service))
        shutil.copytree(service.home / "blobs", tmp_path / "blobs")

    with engines.database(migrated=False) as url:
        tool(
            *("pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"),
            *(f"--dbname={plain(url)}", str(tmp_path / "database.dump")),
        )
        upgrade(url)  # a backup of an older version is brought up to date; here there is nothing to do
        settings = Settings.model_validate(
            {
                "database_url": url,
                "broker_url": engines.broker_url,
                "blob_dir": tmp_path / "blobs",
                "staging_dir": tmp_path / "staging",
                "secret": "another-secret-of-32-characters-or-more",
            }
        )
        (tmp_path / "staging").mkdir()
        headers = {"Authorization": f"Bearer {key}"}
        with TestClient(create_app(settings), headers=headers) as restored:
            assert restored.get(f"/v1/jobs/{done}").json()["state"] == "succeeded"
            assert restored.get(f"/v1/summaries/{summary}/download").content == original
            assert restored.get(f"/v1/datasets/{dataset.partition('@')[0]}").status_code == 200
            report = restored.get(f"/v1/jobs/{done}").json()["result"]["report"]
            assert restored.get(f"/v1/reports/{report}").json()["verdict"]
            assert restored.get("/readyz").json()["checks"]["schema"] == "ok"
        blobs = LocalBlobs(settings.blob_dir, settings.staging_dir)
        engine = create_engine(url)
        with engine.connect() as conn, timed("verify"):
            wrong, files, _ = wrong_files(conn, blobs)
        assert not wrong
        assert files > 5
        requeue_what_was_running(engine, running)
        engine.dispose()


def test_verify_when_files_of_a_backup_are_damaged_or_gone_then_each_is_named(engines: Engines, tmp_path: Path):
    revision = REVISIONS[-1]
    with engines.database(migrated=False) as url:
        superuser = engines.postgres.url(make_url(url).database or "", role=SUPERUSER)
        load(revision, url, superuser, tmp_path / "blobs")
        environment = {
            **os.environ, "DISTILLERY_DATABASE_URL": url, "DISTILLERY_BROKER_URL": "memory://",
            "DISTILLERY_BLOB_DIR": str(tmp_path / "blobs"), "DISTILLERY_STAGING_DIR": str(tmp_path / "staging"),
            "DISTILLERY_SECRET": "s" * 32,
        }  # fmt: skip

        def verify() -> tuple[int, str]:
            command = [sys.executable, "-m", "app.store.verify"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            return done.returncode, done.stderr

        code, said = verify()
        assert code == 0, said
        with create_engine(url, poolclass=NullPool).connect() as conn:
            damaged, gone = conn.scalars(text("SELECT DISTINCT sha256 FROM artifact ORDER BY 1 LIMIT 2"))
        blobs = LocalBlobs(tmp_path / "blobs", tmp_path / "staging")
        for name in (damaged, gone):
            path = blobs.root / "sha256" / name[:2] / name
            path.chmod(0o644)
            path.unlink() if name == gone else path.write_bytes(path.read_bytes() + b"x")
        code, said = verify()
        assert code == 1
        assert {damaged, gone} == {json.loads(line)["sha256"] for line in said.splitlines() if "wrong_file" in line}


def requeue_what_was_running(engine, job_id: str) -> None:
    """The owner of a job that ran at the time is gone, so its lease runs out and it waits for a worker again."""
    reaper = Reaper(lease_s=0.1, grace_s=0.1)
    with engine.begin() as conn:
        conn.execute(text("UPDATE job SET lease_until = now() - interval '1 minute' WHERE id = :id"), {"id": job_id})

    def requeued() -> bool:
        with engine.begin() as conn:
            reaper.sweep(conn)
            return conn.scalar(text("SELECT state FROM job WHERE id = :id"), {"id": job_id}) == "queued"

    Service.wait(requeued, 30, "the job to be queued again", every_s=0.5)


def test_backup_when_the_service_is_stopped_then_a_copy_of_the_home_is_enough_also_of_an_older_one(tmp_path: Path):
    """Older: of the time when the service connected as the owner of the tables."""
    with Service(threads=1) as service:
        csv = planted_csv(tmp_path / "planted.csv")
        dataset = service.client.datasets.upload(str(csv), kind="interactions").reference
        key = json.loads((service.home / "run" / "credentials").read_text())["api_key"]
        other = Service(threads=1)
        keep, service_home = service.home.with_name(service.home.name + "-copy"), service.home
        with create_engine(postgres_of(service).url(role=SUPERUSER), poolclass=NullPool).begin() as conn:
            conn.execute(text(f"DROP OWNED BY {APPLICATION} CASCADE"))
        stop_and_copy(service, keep)
    shutil.rmtree(other.home)
    shutil.move(keep, other.home)
    config = other.home / "config.toml"
    kept = [line for line in config.read_text().splitlines(keepends=True) if "postgres_application" not in line]
    config.write_text("".join(kept))
    stamp = other.home / "run" / "schema"
    stamp.write_text(json.dumps({name: it for name, it in json.loads(stamp.read_text()).items() if name != "config"}))
    with other, other.http as http:
        role = make_url(psutil.Process(other.pid("api")).environ()["DISTILLERY_DATABASE_URL"]).username
        assert role == APPLICATION
        assert http.post("/v1/datasets", json={"name": "new", "kind": "interactions"}).status_code == 201
        assert json.loads((other.home / "run" / "credentials").read_text())["api_key"] == key
        assert http.get(f"/v1/datasets/{dataset.partition('@')[0]}").status_code == 200
    assert not service_home.exists()


def stop_and_copy(service: Service, target: Path) -> None:
    """`distillery down`, then `cp --archive`."""
    assert service._supervisor is not None
    service._supervisor.terminate()
    service._supervisor.wait(60)
    subprocess.run(["cp", "--archive", service.home, target], check=True)
    if os.geteuid() == 0:
        target.chmod(0o711)
    time.sleep(0.1)
