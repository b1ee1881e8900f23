"""Queries for datasets and their versions. A deleted dataset is invisible here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Text, and_, cast, func, insert, or_, select, update
from sqlalchemy import literal as value_of
from sqlalchemy.dialects.postgresql import JSONB

from app.store.ids import new_id
from app.store.lists import After, newest_first
from app.store.tables import artifact, dataset, dataset_version, job, method, tenant

_latest_state = func.coalesce(dataset_version.c.state, "open")


def count_datasets(conn: Connection, tenant_id: str) -> int:
    """Datasets of a tenant that were uploaded and not deleted; the tenant is held until the transaction ends."""
    conn.execute(select(tenant.c.id).where(tenant.c.id == tenant_id).with_for_update(key_share=True))
    own = (dataset.c.tenant_id == tenant_id, dataset.c.deleted_at.is_(None), dataset.c.summary_id.is_(None))
    return conn.scalar(select(func.count()).select_from(dataset).where(*own)) or 0


def create_dataset(
    conn: Connection,
    tenant_id: str,
    *,
    name: str,
    kind: str,
    columns: Mapping[str, Any],
    options: Mapping[str, Any],
    tags: Mapping[str, str],
) -> dict[str, Any]:
    """A new, empty dataset."""
    dataset_id = new_id("ds")
    conn.execute(
        insert(dataset).values(
            id=dataset_id,
            tenant_id=tenant_id,
            name=name,
            kind=kind,
            columns=dict(columns),
            options=dict(options),
            tags=dict(tags),
        )
    )
    created = get_dataset(conn, tenant_id, dataset_id)
    assert created is not None  # noqa: S101 - inserted by this transaction
    return created


def get_dataset(conn: Connection, tenant_id: str, dataset_id: str, *, lock: bool = False) -> dict[str, Any] | None:
    """A dataset with what is known of its latest version: `state` (or `open`), `rows`, what its kind calls them
    (`units`), and `size`; `lock` holds it until the transaction ends."""
    query = _select().where(dataset.c.id == dataset_id, *_visible(tenant_id))
    if lock:
        query = query.with_for_update(of=dataset)
    row = conn.execute(query).mappings().one_or_none()
    return dict(row) if row else None


def list_datasets(
    conn: Connection,
    tenant_id: str,
    *,
    kind: str | None = None,
    state: str | None = None,
    name: str | None = None,
    exports: bool = False,
    created_after: datetime | None = None,
    after: After | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Datasets, newest first, older than `after`. `name`: a part of it, in any letter case. `exports`: also those that
    summaries were exported as."""
    query = _select().where(*_visible(tenant_id))
    if kind is not None:
        query = query.where(dataset.c.kind == kind)
    if state is not None:
        query = query.where(_latest_state == state)
    if name is not None:
        query = query.where(dataset.c.name.icontains(name, autoescape=True))
    if not exports:
        query = query.where(dataset.c.summary_id.is_(None))
    query = newest_first(query, dataset, after=after, created_after=created_after, limit=limit)
    return [dict(row) for row in conn.execute(query).mappings()]


def update_dataset(conn: Connection, tenant_id: str, dataset_id: str, changes: Mapping[str, Any]) -> None:
    """Change columns of a dataset and count the revision up."""
    conn.execute(
        update(dataset)
        .where(dataset.c.id == dataset_id, *_visible(tenant_id))
        .values(**changes, revision=dataset.c.revision + 1, updated_at=func.now())
    )


def delete_dataset(conn: Connection, tenant_id: str, dataset_id: str) -> None:
    """Hide a dataset; its rows and files stay for the jobs that used them."""
    conn.execute(
        update(dataset)
        .where(dataset.c.id == dataset_id, *_visible(tenant_id))
        .values(deleted_at=func.now(), revision=dataset.c.revision + 1, updated_at=func.now())
    )


def live_jobs_of(conn: Connection, tenant_id: str, dataset_id: str) -> list[str]:
    """Unfinished jobs that read a dataset, as their main one or as a further input."""
    uses = or_(job.c.dataset_id == dataset_id, cast(job.c.inputs, Text).contains(f'"{dataset_id}@', autoescape=True))
    rows = conn.scalars(
        select(job.c.id)
        .where(job.c.tenant_id == tenant_id, job.c.state.in_(("queued", "running", "cancelling")), uses)
        .order_by(job.c.id)
        .limit(10)
    )
    return list(rows)


def add_version(
    conn: Connection, tenant_id: str, dataset_id: str, files: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The next version of a locked dataset, made of these uploaded files (`path`, `sha256`, `size`)."""
    number = conn.scalars(
        update(dataset)
        .where(dataset.c.id == dataset_id, *_visible(tenant_id))
        .values(latest_version=dataset.c.latest_version + 1, updated_at=func.now())
        .returning(dataset.c.latest_version)
    ).one()
    sources = [{"path": f["path"], "sha256": f["sha256"], "size": f["size"]} for f in files]
    row = conn.execute(
        insert(dataset_version)
        .values(dataset_id=dataset_id, number=number, tenant_id=tenant_id, manifest={"sources": sources})
        .returning(dataset_version)
    ).mappings().one()  # fmt: skip
    copied = ("tenant_id", "sha256", "size", "media_type")
    conn.execute(
        insert(artifact).from_select(
            ["owner", "path", *copied],
            select(
                value_of(f"{dataset_id}@{number}"),
                func.concat("source/", artifact.c.path),
                *(artifact.c[name] for name in copied),
            ).where(
                artifact.c.owner == dataset_id,
                artifact.c.tenant_id == tenant_id,
                artifact.c.path.in_([f["path"] for f in files]),
            ),
        )
    )
    return dict(row)


def name_ingest_job(conn: Connection, tenant_id: str, dataset_id: str, number: int, job_id: str) -> None:
    """Remember which job makes a version ready."""
    conn.execute(
        update(dataset_version)
        .where(
            dataset_version.c.dataset_id == dataset_id,
            dataset_version.c.number == number,
            dataset_version.c.tenant_id == tenant_id,
        )
        .values(job_id=job_id)
    )


def get_version(conn: Connection, tenant_id: str, dataset_id: str, number: int) -> dict[str, Any] | None:
    """One version of a visible dataset."""
    row = conn.execute(_versions(tenant_id, dataset_id).where(dataset_version.c.number == number)).mappings()
    found = row.one_or_none()
    return dict(found) if found else None


def list_versions(
    conn: Connection, tenant_id: str, dataset_id: str, *, before: int | None, limit: int
) -> list[dict[str, Any]]:
    """Versions of a dataset, newest first, numbered below `before`."""
    query = _versions(tenant_id, dataset_id).order_by(dataset_version.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(dataset_version.c.number < before)
    return [dict(row) for row in conn.execute(query).mappings()]


def _select() -> Select[Any]:
    latest = and_(dataset_version.c.dataset_id == dataset.c.id, dataset_version.c.number == dataset.c.latest_version)
    units = (
        select(method.c.cost["units"].astext)
        .where(method.c.kind == dataset.c.kind, method.c.name == "ingest")
        .scalar_subquery()
    )
    size = select(func.coalesce(func.sum(artifact.c.size), 0)).where(
        artifact.c.owner == dataset.c.id + "@" + cast(dataset.c.latest_version, Text),
        artifact.c.path.startswith("canonical/"),
    )
    rows = dataset_version.c.manifest["statistics"].op("->", return_type=JSONB())(units)
    return select(
        dataset,
        _latest_state.label("state"),
        units.label("units"),
        rows.label("rows"),
        size.scalar_subquery().label("size"),
    ).join(dataset_version, latest, isouter=True)


def _versions(tenant_id: str, dataset_id: str) -> Select[Any]:
    return (
        select(dataset_version)
        .join(dataset, dataset.c.id == dataset_version.c.dataset_id)
        .where(dataset.c.id == dataset_id, *_visible(tenant_id))
    )


def _visible(tenant_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return dataset.c.tenant_id == tenant_id, dataset.c.deleted_at.is_(None)
