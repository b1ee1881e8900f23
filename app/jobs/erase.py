"""Erase things together with all that came of them: files, rows and events go now, their bytes with the next sweep.

What stays is a row without content for each dataset, job and summary, because others refer to it (the account of GPU
time, jobs of yesterday) and so that no request is answered from what is gone. `app.jobs.retain` removes the rows of
jobs in the end.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, case, cast, delete, func, null, select, update

from app.jobs.commit import figures_of
from app.jobs.errors import Refused
from app.jobs.states import TERMINAL
from app.store.tables import (
    artifact,
    dataset,
    dataset_version,
    idempotency_key,
    job,
    job_event,
    job_webhook,
    report,
    summary,
    upload,
    webhook_delivery,
)

_BATCH = 200
_NOTHING: dict[str, Any] = {}


@dataclass
class Things:
    """Ids of what is to go."""

    datasets: set[str] = field(default_factory=set[str])
    jobs: set[str] = field(default_factory=set[str])
    summaries: set[str] = field(default_factory=set[str])
    reports: set[str] = field(default_factory=set[str])


def erase_with_descendants(conn: Connection, tenant_id: str, named: Things) -> None:
    """Erase what is named (all of it this tenant's) and what was made from it, however indirectly.

    `Refused` while one of the jobs concerned is unfinished. What an ingest job made is its dataset's, and stays.
    """
    things = _with_descendants(conn, tenant_id, named)
    states = _rows(conn, select(job.c.id, job.c.state), job.c.id, things.jobs)
    if unfinished := sorted(row.id for row in states if row.state not in TERMINAL):
        raise Refused(
            "job_not_finished",
            f"Unfinished jobs work on this: {', '.join(unfinished[:10])}.",
            hint="Cancel them first, or wait for their end.",
        )
    _erase(conn, tenant_id, things)


def delete_report(conn: Connection, tenant_id: str, report_id: str) -> bool:
    """Erase a report alone; False when there is none. Later requests are not answered with it, but worked on anew."""
    gone = delete(report).where(report.c.id == report_id, report.c.tenant_id == tenant_id)
    if not conn.execute(gone).rowcount:
        return False
    conn.execute(delete(artifact).where(artifact.c.owner == report_id, artifact.c.tenant_id == tenant_id))
    answering = (job.c.tenant_id == tenant_id, job.c.result["report"].astext == report_id)
    conn.execute(update(job).where(*answering).values(input_hash=func.concat("gone:", job.c.id)))
    return True


def _with_descendants(conn: Connection, tenant_id: str, named: Things) -> Things:
    """Round by round: jobs that read what is to go, or repeat such jobs; what they made; the datasets of that."""
    found, fresh = Things(), named
    while fresh.datasets or fresh.jobs or fresh.summaries or fresh.reports:
        for name in ("datasets", "jobs", "summaries", "reports"):
            getattr(found, name).update(getattr(fresh, name))
        after = Things()
        after.jobs.update(_readers(conn, tenant_id, fresh))
        made = select(summary.c.id, summary.c.job_id, summary.c.dataset_id, summary.c.report_id)
        of_jobs = _rows(conn, made.where(summary.c.tenant_id == tenant_id), summary.c.job_id, fresh.jobs)
        for row in [*of_jobs, *_rows(conn, made, summary.c.id, fresh.summaries)]:
            after.summaries.add(row.id)
            after.datasets.update({row.dataset_id} - {None})
            after.reports.update({row.report_id} - {None})
        after.reports.update(row.id for row in _rows(conn, select(report.c.id), report.c.job_id, fresh.jobs))
        fresh = Things(
            after.datasets - found.datasets,
            after.jobs - found.jobs,
            after.summaries - found.summaries,
            after.reports - found.reports,
        )
    return found


def _readers(conn: Connection, tenant_id: str, things: Things) -> Iterator[str]:
    mine = select(job.c.id).where(job.c.tenant_id == tenant_id)
    yield from (row.id for row in _rows(conn, mine, job.c.dataset_id, things.datasets))
    for batch in _batches([*things.datasets, *things.summaries]):
        names = f'"({"|".join(map(re.escape, batch))})(@[0-9]+)?"'
        yield from conn.scalars(mine.where(job.c.inputs != _NOTHING, cast(job.c.inputs, Text).op("~")(names)))
    for column in (job.c.cached_from, job.c.retry_of):
        yield from (row.id for row in _rows(conn, mine, column, things.jobs))


def _erase(conn: Connection, tenant_id: str, things: Things) -> None:
    versions = [
        f"{row.dataset_id}@{row.number}"
        for row in _rows(
            conn,
            select(dataset_version.c.dataset_id, dataset_version.c.number),
            dataset_version.c.dataset_id,
            things.datasets,
        )
    ]
    for batch in _batches([*things.datasets, *versions, *things.jobs, *things.summaries, *things.reports]):
        conn.execute(delete(artifact).where(artifact.c.tenant_id == tenant_id, artifact.c.owner.in_(batch)))
    for batch in _batches(things.jobs):
        conn.execute(delete(job_event).where(job_event.c.job_id.in_(batch)))
        conn.execute(delete(job_webhook).where(job_webhook.c.job_id.in_(batch)))
        conn.execute(delete(webhook_delivery).where(webhook_delivery.c.job_id.in_(batch)))
        conn.execute(update(job).where(job.c.id.in_(batch)).values(_empty_job()))
    for batch in _batches(things.reports):
        conn.execute(delete(report).where(report.c.id.in_(batch)))
    for batch in _batches(things.summaries):
        emptied = {"manifest": _NOTHING, "deleted_at": func.coalesce(summary.c.deleted_at, func.now())}
        conn.execute(update(summary).where(summary.c.id.in_(batch)).values(emptied))
    for batch in _batches(things.datasets):
        # Its bytes lie in the staging folder, where they count until they are removed with the row.
        conn.execute(update(upload).where(upload.c.dataset_id.in_(batch)).values(expires_at=func.now()))
        of_these = dataset_version.c.dataset_id.in_(batch)
        # A version that is ready must have a hash; the real one would tell whether data are those.
        conn.execute(update(dataset_version).where(of_these).values(manifest=_NOTHING, content_sha256="gone"))
        conn.execute(update(dataset).where(dataset.c.id.in_(batch)).values(_empty_dataset()))
    for batch in _batches([*things.datasets, *things.jobs]):
        answers = cast(idempotency_key.c.response, Text).op("~")("|".join(map(re.escape, batch)))
        conn.execute(delete(idempotency_key).where(idempotency_key.c.tenant_id == tenant_id, answers))
    _drop_figures(conn, tenant_id)


def _empty_job() -> dict[Any, Any]:
    said = func.jsonb_build_object("code", job.c.error["code"], "detail", "The job was deleted.")
    emptied = dict.fromkeys(("inputs", "params", "evaluate", "labels", "progress", "cut", "limits"), _NOTHING)
    left_out = ("checkpoint", "result", "cost", "environment", "traceparent", "request_id")
    return {
        **emptied,
        **dict.fromkeys(left_out, null()),
        "error": case((job.c.error.is_not(None), said), else_=null()),
        "input_hash": func.concat("gone:", job.c.id),
        "deleted_at": func.coalesce(job.c.deleted_at, func.now()),
    }


def _empty_dataset() -> dict[str, Any]:
    emptied = dict.fromkeys(("columns", "options", "tags"), _NOTHING)
    return {**emptied, "name": "", "deleted_at": func.coalesce(dataset.c.deleted_at, func.now())}


def _drop_figures(conn: Connection, tenant_id: str) -> None:
    """Figures computed on content that the tenant has no longer."""
    held = (
        select(dataset_version.c.dataset_id)
        .where(
            dataset_version.c.tenant_id == tenant_id,
            artifact.c.owner == func.concat(figures_of(""), dataset_version.c.content_sha256),
        )
        .correlate(artifact)
    )
    figures = (artifact.c.tenant_id == tenant_id, artifact.c.owner.startswith(figures_of("")))
    conn.execute(delete(artifact).where(*figures, ~held.exists()))


def _rows(conn: Connection, query: Any, column: ColumnElement[Any], values: Collection[str]) -> Iterator[Any]:
    """The rows of a query in which a column has one of many values."""
    for batch in _batches(values):
        yield from conn.execute(query.where(column.in_(batch))).all()


def _batches(values: Iterable[str]) -> Iterator[list[str]]:
    every = sorted(values)
    return (every[start : start + _BATCH] for start in range(0, len(every), _BATCH))
