"""What is kept no longer: files of deleted things, resume points, events; the sweeper then frees their blobs."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
from sqlalchemy import Engine, delete, func, select, text

from app.jobs.checkpoint import save_checkpoint
from app.jobs.claim import claim_job
from app.jobs.finish import AttemptEnd, fail_attempt
from app.jobs.retain import Retention
from app.jobs.sweep import Sweeper
from app.store.tables import artifact, job_event
from tests.integration.api.conftest import Api

DAY = 86_400.0
RETENTION = Retention(deleted_s=7 * DAY, checkpoints_s=7 * DAY)


@pytest.fixture(autouse=True)
def nothing_left_over(engine: Engine) -> None:
    """What earlier tests deleted is not this one's."""
    with engine.begin() as conn:
        conn.execute(text("UPDATE dataset SET deleted_at = NULL"))
        conn.execute(text("UPDATE summary SET deleted_at = NULL"))
        conn.execute(delete(artifact).where(artifact.c.owner.startswith("job_")))


def owners(engine: Engine, api: Api) -> dict[str, int]:
    """Files by the sort of thing that owns them."""
    with engine.connect() as conn:
        rows = conn.scalars(select(artifact.c.owner).where(artifact.c.tenant_id == api.tenant_id)).all()
    found: dict[str, int] = {}
    for owner in rows:
        name = owner.partition("_")[0] + ("@" if "@" in owner else "")
        found[name] = found.get(name, 0) + 1
    return found


def enforce(engine: Engine, retention: Retention = RETENTION) -> int:
    with engine.begin() as conn:
        return retention.enforce(conn)


def age(engine: Engine, table: str, column: str, days: float) -> None:
    with engine.begin() as conn:
        conn.execute(
            text(f"UPDATE {table} SET {column} = {column} - interval '{days} days' WHERE {column} IS NOT NULL")
        )


def blob_files(api: Api) -> int:
    return sum(1 for _ in api.blobs.iterate())


def sweep(engine: Engine, api: Api) -> None:
    long_ago = time.time() - 2 * DAY
    for sha256, _ in api.blobs.iterate():
        os.utime(api.blobs.local_path(sha256), (long_ago, long_ago))
    with engine.begin() as conn:
        Sweeper(api.blobs, grace_s=DAY).sweep(conn)


def test_deleted_dataset_when_its_grace_is_over_then_its_blobs_are_freed(api: Api, engine: Engine) -> None:
    kept = api.version(b"user,item\nkept,1\n").partition("@")[0]
    dataset = api.version(b"user,item\ngone,1\n").partition("@")[0]
    sweep(engine, api)
    before = blob_files(api)
    assert owners(engine, api) == {"ds": 2, "ds@": 4}
    assert api.delete(f"/v1/datasets/{dataset}", headers={"If-Match": "*"}).status_code == 204
    assert enforce(engine) == 0
    age(engine, "dataset", "deleted_at", 8)
    assert enforce(engine) == 3
    assert owners(engine, api) == {"ds": 1, "ds@": 2}
    sweep(engine, api)
    assert blob_files(api) == before - 1
    assert api.get(f"/v1/datasets/{kept}/files/clicks.csv").content == b"user,item\nkept,1\n"
    assert enforce(engine) == 0


def test_deleted_dataset_when_an_unfinished_job_reads_it_then_kept_until_its_end(api: Api, engine: Engine) -> None:
    reference = api.version()
    dataset = reference.partition("@")[0]
    job_id = api.job(reference)["id"]
    assert api.delete(f"/v1/datasets/{dataset}?force=true", headers={"If-Match": "*"}).status_code == 204
    age(engine, "dataset", "deleted_at", 8)
    assert enforce(engine) == 0
    api.post(f"/v1/jobs/{job_id}/cancel")
    assert enforce(engine) == 3


def test_deleted_summary_when_its_grace_is_over_then_its_files_go_and_its_report_stays(
    api: Api, engine: Engine
) -> None:
    made = api.summary()
    reader = api.job(api.version(b"x"), method="evaluate", inputs={"summary": made["summary"]})["id"]
    assert api.delete(f"/v1/summaries/{made['summary']}").status_code == 204
    age(engine, "summary", "deleted_at", 8)
    assert enforce(engine) == 0, "an unfinished job reads it"
    api.post(f"/v1/jobs/{reader}/cancel")
    assert enforce(engine) > 0
    assert "sum" not in owners(engine, api)
    assert api.get(f"/v1/reports/{made['report']}").status_code == 200


def failed_with_a_checkpoint(api: Api, engine: Engine) -> str:
    job_id = api.job()["id"]
    point = api.stored({"point": job_id.encode()})["point"]
    with engine.begin() as conn:
        row = claim_job(conn, job_id, "w1", 30.0)
        assert row is not None
        assert save_checkpoint(conn, row, point, 7)
    with engine.begin() as conn:
        error: dict[str, Any] = {"code": "diverged", "detail": "It diverged."}
        assert fail_attempt(conn, row, error, AttemptEnd()) == "failed"
    return job_id


def test_checkpoint_when_its_job_ended_long_ago_then_gone_and_a_retry_begins_anew(api: Api, engine: Engine) -> None:
    job_id = failed_with_a_checkpoint(api, engine)
    assert enforce(engine) == 0
    age(engine, "job", "finished_at", 8)
    assert enforce(engine) == 1
    assert "job" not in owners(engine, api)
    retried = api.post(f"/v1/jobs/{job_id}/retry")
    assert (retried.status_code, retried.json()["retry_of"]) == (202, job_id)


def test_checkpoint_when_its_job_ended_lately_then_a_retry_goes_on_from_it(api: Api, engine: Engine) -> None:
    job_id = failed_with_a_checkpoint(api, engine)
    assert enforce(engine) == 0
    assert api.post(f"/v1/jobs/{job_id}/retry").status_code == 202
    assert owners(engine, api)["job"] == 2


def test_events_when_kept_for_a_time_then_those_of_old_jobs_go_and_the_jobs_stay(api: Api, engine: Engine) -> None:
    old = api.job()["id"]
    api.post(f"/v1/jobs/{old}/cancel")
    age(engine, "job", "finished_at", 40)
    live = api.job()["id"]
    assert enforce(engine) == 0, "for ever, unless a time is set"
    assert enforce(engine, Retention(7 * DAY, 7 * DAY, 30 * DAY)) >= 2
    with engine.connect() as conn:
        left = {
            one: conn.scalar(select(func.count()).select_from(job_event).where(job_event.c.job_id == one))
            for one in (old, live)
        }
    assert (left[old], left[live]) == (0, 1)
    assert api.get(f"/v1/jobs/{old}").json()["state"] == "cancelled"


def failed_dataset(api: Api, engine: Engine) -> str:
    """A dataset whose one version could not be read."""
    dataset_id = api.dataset()["id"]
    api.put(f"/v1/datasets/{dataset_id}/files/clicks.csv", content=b"?")
    ingest = api.post(f"/v1/datasets/{dataset_id}/commit").json()["job"]["id"]
    with engine.begin() as conn:
        row = claim_job(conn, ingest, "w1", 30.0)
        assert row is not None
        fail_attempt(conn, row, {"code": "invalid_input", "detail": "no table"}, AttemptEnd())
    return dataset_id


def test_failed_upload_when_its_time_is_over_then_is_deleted_and_those_with_hope_stay(api: Api, engine: Engine) -> None:
    retention = Retention(7 * DAY, 7 * DAY, failed_s=7 * DAY)
    old, touched, ready = failed_dataset(api, engine), failed_dataset(api, engine), api.version().partition("@")[0]
    opened = api.dataset()["id"]
    assert {one["id"] for one in api.get("/v1/datasets?state=failed").json()["items"]} == {old, touched}
    enforce(engine, retention)
    assert api.get(f"/v1/datasets/{old}").json()["state"] == "failed", "it is shown for a week"
    version = api.get(f"/v1/datasets/{old}/versions/1").json()
    ingest = api.get(f"/v1/jobs/{version['job']}").json()
    assert version["error"]["hint"] == ingest["error"]["hint"] == "GET /problems/invalid_input explains it."
    for table, column in (("dataset", "updated_at"), ("dataset_version", "created_at"), ("artifact", "created_at")):
        age(engine, table, column, 8)
    api.put(f"/v1/datasets/{touched}/files/clicks.csv", content=b"user,item\n1,2\n")
    enforce(engine, Retention(7 * DAY, 7 * DAY))
    assert api.get(f"/v1/datasets/{old}").status_code == 200, "without a time it stays"
    enforce(engine, retention)
    assert api.get(f"/v1/datasets/{old}").status_code == 404
    assert {one["id"] for one in api.get("/v1/datasets").json()["items"]} == {touched, ready, opened}
