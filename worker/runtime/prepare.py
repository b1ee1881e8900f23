"""Lay out an attempt's folder: links to its inputs, to what earlier attempts and jobs left, a place for its outputs."""

from __future__ import annotations

import shutil
from datetime import UTC
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from app.jobs.checkpoint import KEPT
from app.jobs.commit import figures_of
from app.jobs.limits import seconds
from app.jobs.references import references_of
from app.jobs.route import GPU_QUEUE
from app.jobs.states import JobRow
from app.settings import Settings
from app.store.blobs import Blobs, CorruptBlob
from app.store.database import allow_silence
from app.store.tables import artifact, dataset, dataset_version, method, summary
from worker.runtime.credentials import credentials_for
from worker.runtime.protocol import Assignment, GivenInput

_FIELDS = (
    "id", "task", "kind", "method", "method_version", "inputs", "params", "evaluate", "seed", "deterministic",
    "degrade", "input_hash",
)  # fmt: skip


def prepare(conn: Connection, blobs: Blobs, settings: Settings, job: JobRow) -> Assignment:
    """The assignment of one attempt. FileNotFoundError: a blob is missing."""
    allow_silence(conn)  # files may come from a store far away
    home = settings.staging_dir / job["id"]
    shutil.rmtree(home, ignore_errors=True)
    folder = home / str(job["fence"])
    folder.mkdir(parents=True)
    reference = f"{job['dataset_id']}@{job['dataset_version']}"
    types = _input_types(conn, job)
    inputs = {
        name: [
            _input(conn, blobs, text, folder / "inputs" / name / str(at), types.get(name, ""))
            for at, text in enumerate(texts)
        ]
        for name, texts in references_of(job["inputs"]).items()
    }
    _link(conn, blobs, reference, "canonical/", folder / "data")
    _link(conn, blobs, job["id"], KEPT, folder / "keep")
    content = _content(conn, job)
    if content is not None:
        _link(conn, blobs, figures_of(content), "", folder / "figures", tenant_id=job["tenant_id"])
    limits: dict[str, Any] = job["limits"]
    return Assignment(
        job={
            **{name: job[name] for name in _FIELDS},
            "dataset": reference,
            "dataset_content": content,
            **_uploaded(conn, job),
            "created_at": job["created_at"].astimezone(UTC).isoformat(timespec="seconds"),
        },
        folder=str(folder),
        data=str(folder / "data"),
        sources=_sources(conn, blobs, reference) if job["task"] == "ingest" else [],
        inputs=inputs,
        checkpoint=_checkpoint(blobs, job),
        checkpoint_every_s=settings.checkpoint_every_s,
        device=settings.device if job["queue"] == GPU_QUEUE else "cpu",
        threads=settings.threads,
        memory_mb=int(limits.get("memory_mb", settings.memory_limit_mb)),
        time_s=seconds(limits, "time_s"),
        evaluate_s=seconds(limits, "evaluate_s"),
        ingest_limits=_ingest_limits(settings),
        credentials=credentials_for(conn, settings, job),
        executor=settings.executor,
        executor_processes=settings.executor_processes,
        ray_address=settings.ray_address,
    )


def _ingest_limits(settings: Settings) -> dict[str, int]:
    named = {name: value for name, value in settings.model_dump().items() if name.startswith("ingest_")}
    return {name.removeprefix("ingest_"): value for name, value in named.items()}


def _input_types(conn: Connection, job: JobRow) -> dict[str, str]:
    """What the method declared its further inputs to be."""
    own = (method.c.kind == job["kind"], method.c.name == job["method"])
    return {one["name"]: one["type"] for one in conn.scalar(select(method.c.inputs).where(*own)) or ()}


def _input(conn: Connection, blobs: Blobs, text: str, place: Path, sort: str) -> GivenInput:
    if sort == "evidence":
        row = conn.execute(select(summary.c.kind, summary.c.report_id).where(summary.c.id == text)).one()
        _link(conn, blobs, str(row.report_id), "", place)
        return GivenInput("evidence", str(row.kind), str(place))
    if text.startswith("sum_"):
        _link(conn, blobs, text, "", place)
        kind = conn.scalar(select(summary.c.kind).where(summary.c.id == text))
        return GivenInput("summary", str(kind), str(place))
    _link(conn, blobs, text, "canonical/", place)
    kind = conn.scalar(select(dataset.c.kind).where(dataset.c.id == text.partition("@")[0]))
    return GivenInput("dataset", str(kind), str(place))


def _link(
    conn: Connection, blobs: Blobs, owner: str, prefix: str, place: Path, *, tenant_id: str | None = None
) -> None:
    query = select(artifact.c.path, artifact.c.sha256).where(
        artifact.c.owner == owner, artifact.c.path.startswith(prefix, autoescape=True)
    )
    rows = conn.execute(query if tenant_id is None else query.where(artifact.c.tenant_id == tenant_id))
    place.mkdir(parents=True)
    for row in rows:
        target = place / row.path.removeprefix(prefix)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(blobs.local_path(row.sha256))


def _sources(conn: Connection, blobs: Blobs, owner: str) -> list[tuple[str, str]]:
    rows = conn.execute(
        select(artifact.c.path, artifact.c.sha256)
        .where(artifact.c.owner == owner, artifact.c.path.startswith("source/"))
        .order_by(artifact.c.path)
    )
    return [(row.path.removeprefix("source/"), str(blobs.local_path(row.sha256))) for row in rows]


def _content(conn: Connection, job: JobRow) -> str | None:
    return conn.scalar(
        select(dataset_version.c.content_sha256).where(
            dataset_version.c.dataset_id == job["dataset_id"],
            dataset_version.c.number == job["dataset_version"],
        )
    )


def _uploaded(conn: Connection, job: JobRow) -> dict[str, Any]:
    """What the user calls the dataset, and what was sent for this version: nothing for one that was not uploaded."""
    owner = f"{job['dataset_id']}@{job['dataset_version']}"
    rows = conn.execute(
        select(artifact.c.path, artifact.c.size)
        .where(artifact.c.owner == owner, artifact.c.path.startswith("source/"))
        .order_by(artifact.c.path)
    ).all()
    return {
        "dataset_name": conn.scalar(select(dataset.c.name).where(dataset.c.id == job["dataset_id"])),
        "dataset_files": [row.path.removeprefix("source/") for row in rows],
        "uploaded_bytes": sum(row.size for row in rows) if rows else None,
    }


def _checkpoint(blobs: Blobs, job: JobRow) -> str:
    if job["checkpoint"] is None:
        return ""
    try:
        return str(blobs.local_path(job["checkpoint"]["sha256"]))
    except (FileNotFoundError, CorruptBlob):
        return ""  # starting again is always right, only slower
