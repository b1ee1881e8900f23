"""A database with one tenant, one announced method and one ready dataset version."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine, insert, select

from app.jobs.create import NewJob, create_job
from app.store.database import open_engine
from app.store.tables import dataset, dataset_version, job, job_event, method, tenant

SCHEMA = {
    "type": "object",
    "properties": {"budget": {"type": "integer", "minimum": 1, "default": 5, "description": "Rows to keep."}},
    "additionalProperties": False,
}
PARAMETERLESS = {"type": "object", "properties": {}, "additionalProperties": False}
SUMMARY = {
    "name": "summary", "type": "either", "kind": "", "required": True, "many": False, "description": "",
}  # fmt: skip


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_engine(database_url)
    with opened.begin() as conn:
        fill(conn)
    yield opened
    opened.dispose()


def fill(conn: Connection) -> None:
    for name in ("ten_a", "ten_b"):
        conn.execute(insert(tenant).values(id=name, name=name))
    for name, task, inputs in (("tiny", "select", []), ("evaluate", "evaluate", [SUMMARY]), ("ingest", "ingest", [])):
        conn.execute(
            insert(method).values(
                kind="interactions",
                name=name,
                version=1,
                task=task,
                summary="",
                paper="",
                params_schema=SCHEMA if name == "tiny" else PARAMETERLESS,
                evaluate_schema=PARAMETERLESS,
                device="cpu",
                queue="cpu",
                inputs=inputs,
            )
        )
    conn.execute(insert(dataset).values(id="ds_a", tenant_id="ten_a", name="a", kind="interactions", latest_version=1))
    conn.execute(
        insert(dataset_version).values(
            dataset_id="ds_a", number=1, tenant_id="ten_a", state="ready", content_sha256="c" * 64
        )
    )


def queue_job(conn: Connection, **changes: object) -> dict:
    return create_job(conn, "ten_a", NewJob(**{"method": "tiny", "dataset": "ds_a@1", **changes}))


def state_of(conn: Connection, job_id: str) -> str:
    return conn.scalar(select(job.c.state).where(job.c.id == job_id))


def event_types(conn: Connection, job_id: str) -> list[str]:
    return list(conn.scalars(select(job_event.c.type).where(job_event.c.job_id == job_id).order_by(job_event.c.seq)))
