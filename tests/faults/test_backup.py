"""The backup of docs/operations.md, tried: pg_dump of a service at work, a copy of its files, restored elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, text
from starlette.testclient import TestClient

from app.embedded.binaries import wheel_postgres
from app.jobs.reap import Reaper
from app.main import create_app
from app.settings import Settings
from app.store.blobs import LocalBlobs, read_verified
from app.store.migrate import upgrade
from tests.engines import Engines
from tests.planted import planted_csv
from tests.service import Service

pytestmark = [pytest.mark.faults]


def tool(name: str, *arguments: str) -> None:
    subprocess.run([wheel_postgres() / "bin" / name, *arguments], check=True, timeout=60)


def plain(url: str) -> str:
    return url.replace("postgresql+psycopg://", "postgresql://")


def database_of(service: Service) -> str:
    return psutil.Process(service.pid("api")).environ()["DISTILLERY_DATABASE_URL"]


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
        tool("pg_dump", "--format=custom", f"--file={tmp_path / 'database.dump'}", plain(database_of(service)))
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
        engine = create_engine(url)
        with engine.connect() as conn:
            named = set(conn.scalars(text("SELECT sha256 FROM artifact")))
        blobs = LocalBlobs(settings.blob_dir, settings.staging_dir)
        assert named
        for name in named:
            for _ in read_verified(blobs, name):
                pass
        requeue_what_was_running(engine, running)
        engine.dispose()


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


def test_backup_when_the_service_is_stopped_then_a_copy_of_the_home_is_enough(tmp_path: Path):
    with Service(threads=1) as service:
        csv = planted_csv(tmp_path / "planted.csv")
        dataset = service.client.datasets.upload(str(csv), kind="interactions").reference
        key = json.loads((service.home / "run" / "credentials").read_text())["api_key"]
        other = Service(threads=1)
        keep, service_home = service.home.with_name(service.home.name + "-copy"), service.home
        stop_and_copy(service, keep)
    shutil.rmtree(other.home)
    shutil.move(keep, other.home)
    with other, other.http as http:
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
