"""Commit a result once: everything a succeeded attempt made becomes visible in one transaction, or nothing does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from app.jobs.finish import ENDED, AttemptEnd, said
from app.jobs.states import JobRow, transition
from app.store.blobs import StoredBlob, record
from app.store.ids import new_id
from app.store.tables import artifact, dataset, dataset_version, report, summary

MEDIA_TYPES = {
    "json": "application/json",
    "html": "text/html; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "csv": "text/csv; charset=utf-8",
    "py": "text/x-python; charset=utf-8",
    "npz": "application/zip",
    "parquet": "application/vnd.apache.parquet",
}
Files = Mapping[str, StoredBlob]
# Its checkpoints have done their work.
_SUCCEEDED = replace(
    ENDED, also=lambda moved: [*ENDED.also(moved), delete(artifact).where(artifact.c.owner == moved.c.id)]
)
FIGURE_FILES = 50  # jobs whose figures are kept for each content of a tenant


@dataclass(frozen=True)
class Outcome:
    """What an attempt made, its files already durable in the blob store.

    `summary`: files of the summary by path; `dataset`: canonical files of its export; `report`: files of the report;
    `canonical`: canonical files of an ingested version; `figures`: what later jobs on the same content may use.
    `manifest`, `verdict`, `version`: JSON to go with them. `cut`: the limits that ended work early, in seconds.
    """

    summary: Files = field(default_factory=dict[str, StoredBlob])
    dataset: Files = field(default_factory=dict[str, StoredBlob])
    report: Files = field(default_factory=dict[str, StoredBlob])
    canonical: Files = field(default_factory=dict[str, StoredBlob])
    figures: Files = field(default_factory=dict[str, StoredBlob])
    manifest: dict[str, Any] = field(default_factory=dict[str, Any])
    verdict: dict[str, Any] = field(default_factory=dict[str, Any])
    version: dict[str, Any] = field(default_factory=dict[str, Any])
    environment: dict[str, Any] = field(default_factory=dict[str, Any])
    cut: dict[str, float] = field(default_factory=dict[str, float])


def commit_result(conn: Connection, row: JobRow, outcome: Outcome, end: AttemptEnd) -> dict[str, Any] | None:
    """The job's result, now stored; None when the fence is lost or the job is being cancelled: then nothing is.

    The move to `succeeded` comes first and is guarded by the fence; what follows is in the same transaction.
    """
    result: dict[str, Any] = {}
    if outcome.canonical:
        result["dataset"] = f"{row['dataset_id']}@{row['dataset_version']}"
    if outcome.summary:
        result["summary"] = new_id("sum")
    if outcome.dataset:
        result["dataset"] = f"{new_id('ds')}@1"
    if outcome.report:
        result["report"] = new_id("rep")
    moved = transition(
        conn,
        row["id"],
        "succeeded",
        fence=row["fence"],
        data={"result": result},
        values={
            "result": result,
            "cost": end.cost,
            "environment": outcome.environment,
            "cut": outcome.cut,
            "checkpoint": None,
            "progress": {**row["progress"], "phase": "done", "fraction": 1.0},
        },
        more=_SUCCEEDED,
        params=said("succeeded", replace(end, exit_code=0)),
    )
    if moved is None:
        return None
    if outcome.canonical:
        _store_version(conn, row, outcome)
    if outcome.summary:
        _store_summary(conn, row, outcome, result)
    if outcome.report:
        _store_report(conn, row, outcome, result)
    for stored in outcome.figures.values():
        _store_figures(conn, row, stored)
    return result


def content_hash(files: Files) -> str:
    """One hash over a set of files: equal names and bytes, and only those, give an equal hash."""
    listing = sorted((path, stored.sha256) for path, stored in files.items())
    return hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def _store_version(conn: Connection, row: JobRow, outcome: Outcome) -> None:
    owner = f"{row['dataset_id']}@{row['dataset_version']}"
    _record_all(conn, row["tenant_id"], owner, "canonical/", outcome.canonical)
    conn.execute(
        update(dataset_version)
        .where(
            dataset_version.c.dataset_id == row["dataset_id"],
            dataset_version.c.number == row["dataset_version"],
        )
        .values(
            state="ready",
            ready_at=func.now(),
            content_sha256=content_hash(outcome.canonical),
            manifest=dataset_version.c.manifest.op("||")(outcome.version),
        )
    )


def _store_summary(conn: Connection, row: JobRow, outcome: Outcome, result: dict[str, Any]) -> None:
    dataset_id = result["dataset"].partition("@")[0] if "dataset" in result else None
    conn.execute(
        insert(summary).values(
            id=result["summary"],
            tenant_id=row["tenant_id"],
            job_id=row["id"],
            kind=row["kind"],
            method=row["method"],
            content_sha256=content_hash(outcome.summary),
            dataset_id=dataset_id,
            report_id=result.get("report"),
            manifest=outcome.manifest,
        )
    )
    # A summary never leaves without its evidence: the report lies in the bundle, beside what it is about.
    evidence = {
        path: outcome.report[path] for path in ("report.json", "report.html", "report.md") if path in outcome.report
    }
    _record_all(conn, row["tenant_id"], result["summary"], "", {**outcome.summary, **evidence})
    if dataset_id is not None:
        _store_export(conn, row, outcome, dataset_id, result["summary"])


def _store_export(conn: Connection, row: JobRow, outcome: Outcome, dataset_id: str, summary_id: str) -> None:
    """A summary's hard export is a dataset version too, so that it can be the input of another job."""
    name = f"{row['method']} summary of {row['dataset_id']}@{row['dataset_version']}"
    conn.execute(
        insert(dataset).values(
            id=dataset_id,
            tenant_id=row["tenant_id"],
            name=name,
            kind=row["kind"],
            latest_version=1,
            summary_id=summary_id,
        )
    )
    conn.execute(
        insert(dataset_version).values(
            dataset_id=dataset_id,
            number=1,
            tenant_id=row["tenant_id"],
            state="ready",
            content_sha256=content_hash(outcome.dataset),
            job_id=row["id"],
            ready_at=func.now(),
            manifest={"sources": [], **outcome.version},
        )
    )
    _record_all(conn, row["tenant_id"], f"{dataset_id}@1", "canonical/", outcome.dataset)


def _store_report(conn: Connection, row: JobRow, outcome: Outcome, result: dict[str, Any]) -> None:
    conn.execute(
        insert(report).values(
            id=result["report"],
            tenant_id=row["tenant_id"],
            job_id=row["id"],
            summary_id=result.get("summary"),
            verdict=outcome.verdict,
        )
    )
    _record_all(conn, row["tenant_id"], result["report"], "", outcome.report)


def figures_of(content_sha256: str) -> str:
    """The owner of figures that were computed on a dataset's content."""
    return f"figures:{content_sha256}"


def _store_figures(conn: Connection, row: JobRow, stored: StoredBlob) -> None:
    """Let later jobs of the tenant on this content use the figures; only those of the newest jobs are kept."""
    content = conn.scalar(
        select(dataset_version.c.content_sha256).where(
            dataset_version.c.dataset_id == row["dataset_id"], dataset_version.c.number == row["dataset_version"]
        )
    )
    owner = figures_of(str(content))
    record(conn, row["tenant_id"], owner, f"{row['id']}.safetensors", stored, "application/x-safetensors")
    mine = (artifact.c.owner == owner) & (artifact.c.tenant_id == row["tenant_id"])
    old = select(artifact.c.path).where(mine).order_by(artifact.c.created_at.desc()).offset(FIGURE_FILES)
    conn.execute(delete(artifact).where(mine, artifact.c.path.in_(old)))


def _record_all(conn: Connection, tenant_id: str, owner: str, prefix: str, files: Files) -> None:
    for path, stored in sorted(files.items()):
        media_type = MEDIA_TYPES.get(path.rpartition(".")[2], "application/octet-stream")
        record(conn, tenant_id, owner, prefix + path, stored, media_type)
