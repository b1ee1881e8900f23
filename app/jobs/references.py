"""References in requests: `ds_x@3`, `ds_x` (its latest ready version) or `sum_x`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from app.jobs.errors import Refused
from app.jobs.states import JobRow
from app.store.tables import dataset, dataset_version, summary


@dataclass(frozen=True)
class Reference:
    """One resolved reference: `text` is how jobs store it, `content` the hash of what it stands for."""

    type: str
    id: str
    version: int
    kind: str
    text: str
    content: str = ""


def references_of(inputs: Mapping[str, str | list[str]]) -> dict[str, list[str]]:
    """A job's further inputs, every one as a list: most have a single reference."""
    return {name: [given] if isinstance(given, str) else list(given) for name, given in inputs.items()}


def resolve_dataset(conn: Connection, tenant_id: str, text: str, pointer: str = "/dataset") -> Reference:
    """A ready dataset version of this tenant."""
    dataset_id, _, number = text.partition("@")
    rows = conn.execute(
        select(dataset.c.kind, dataset_version)
        .join(dataset_version, dataset_version.c.dataset_id == dataset.c.id)
        .where(dataset.c.id == dataset_id, dataset.c.tenant_id == tenant_id, dataset.c.deleted_at.is_(None))
        .order_by(dataset_version.c.number.desc())
    ).mappings()
    versions = [row for row in rows if not number or str(row["number"]) == number]
    ready = [row for row in versions if row["state"] == "ready"]
    if ready:
        row = ready[0]
        return Reference(
            "dataset",
            dataset_id,
            row["number"],
            row["kind"],
            f"{dataset_id}@{row['number']}",
            row["content_sha256"],
        )
    if versions:
        raise Refused(
            "dataset_not_ready",
            f"{text} is not ready: its state is {versions[0]['state']}.",
            hint=f"See job {versions[0]['job_id']}.",
            pointer=pointer,
        )
    raise Refused(
        "unknown_dataset",
        f"There is no dataset version {text}.",
        hint="Name one as ds_...@1.",
        pointer=pointer,
    )


def resolve_input(conn: Connection, tenant_id: str, method: JobRow, name: str, text: str) -> Reference:
    """A further input of a method: a summary, or a dataset version; of the method's kind."""
    pointer = f"/inputs/{name}"
    known = [one.removesuffix("?") for one in method["inputs"]]
    if name not in known:
        raise Refused(
            "invalid_params",
            f"{method['name']} takes no input {name}.",
            hint=f"Its inputs: {', '.join(known) or 'none'}.",
            pointer=pointer,
        )
    found = (
        _summary(conn, tenant_id, text) if text.startswith("sum_") else resolve_dataset(conn, tenant_id, text, pointer)
    )
    if found is None:
        raise Refused("unknown_summary", f"There is no summary {text}.", pointer=pointer)
    if found.kind != method["kind"]:
        raise Refused("kind_mismatch", f"{text} is {found.kind}, not {method['kind']}.", pointer=pointer)
    return found


def _summary(conn: Connection, tenant_id: str, text: str) -> Reference | None:
    row = conn.execute(
        select(summary.c.kind, summary.c.content_sha256).where(
            summary.c.id == text, summary.c.tenant_id == tenant_id, summary.c.deleted_at.is_(None)
        )
    ).one_or_none()
    return Reference("summary", text, 0, row.kind, text, row.content_sha256) if row else None
