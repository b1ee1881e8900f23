"""References in requests: `ds_x@3`, `ds_x` (its latest ready version) or `sum_x`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select

from app.jobs.errors import Refused
from app.jobs.states import JobRow
from app.store.tables import dataset, dataset_version, summary

# Built once: building a statement takes several times as long as running it.
_VERSIONS = (
    select(dataset.c.kind, *(column for column in dataset_version.c if column.name != "manifest"))
    .join(dataset_version, dataset_version.c.dataset_id == dataset.c.id)
    .where(
        dataset.c.id == bindparam("id"),
        dataset.c.tenant_id == bindparam("tenant_id"),
        dataset.c.deleted_at.is_(None),
    )
    .order_by(dataset_version.c.number.desc())
)
_STATISTICS = select(dataset_version.c.manifest["statistics"]).where(
    dataset_version.c.dataset_id == bindparam("id"), dataset_version.c.number == bindparam("number")
)


@dataclass(frozen=True)
class Reference:
    """One resolved reference: `text` is how jobs store it, `content` the hash of what it stands for."""

    type: str
    id: str
    version: int
    kind: str
    text: str
    content: str = ""


Inputs = Mapping[str, Reference | list[Reference]]


def references_of(inputs: Mapping[str, str | list[str]]) -> dict[str, list[str]]:
    """A job's further inputs, every one as a list: most have a single reference."""
    return {name: [given] if isinstance(given, str) else list(given) for name, given in inputs.items()}


def resolve_dataset(conn: Connection, tenant_id: str, text: str, pointer: str = "/dataset") -> Reference:
    """A ready dataset version of this tenant."""
    dataset_id, _, number = text.partition("@")
    rows = conn.execute(_VERSIONS, {"id": dataset_id, "tenant_id": tenant_id}).mappings()
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


def resolve_inputs(
    conn: Connection, tenant_id: str, method: JobRow, given: Mapping[str, str | Sequence[str]]
) -> Inputs:
    """The further inputs of a job, each as the method declares it; those that it takes many of become lists.

    Raises `Refused` for one that is unknown, missing, of another type or kind, given twice, or one too many.
    """
    declared: dict[str, JobRow] = {one["name"]: one for one in method["inputs"]}
    for name in given:
        if name not in declared:
            raise Refused(
                "invalid_params",
                f"{method['name']} takes no input {name}.",
                hint=f"Its inputs: {', '.join(declared) or 'none'}.",
                pointer=f"/inputs/{name}",
            )
    for name, one in declared.items():
        if one["required"] and not given.get(name):
            raise Refused(
                "missing_input",
                f"{method['name']} needs the input `{name}`.",
                hint=f'Add "inputs": {{"{name}": {_example(one)}}}.',
                pointer=f"/inputs/{name}",
            )
    return {name: _resolve_input(conn, tenant_id, method, declared[name], texts) for name, texts in given.items()}


def _resolve_input(
    conn: Connection, tenant_id: str, method: JobRow, declared: JobRow, given: str | Sequence[str]
) -> Reference | list[Reference]:
    pointer = f"/inputs/{declared['name']}"
    if not declared["many"]:
        if not isinstance(given, str):
            hint = "Give its reference as text, not as a list."
            detail = f"{method['name']} takes one `{declared['name']}`."
            raise Refused("invalid_params", detail, hint=hint, pointer=pointer)
        return _resolve_reference(conn, tenant_id, method, declared, given, pointer)
    texts = [given] if isinstance(given, str) else given
    found: list[Reference] = []
    for number, text in enumerate(texts):
        here = pointer if isinstance(given, str) else f"{pointer}/{number}"
        reference = _resolve_reference(conn, tenant_id, method, declared, text, here)
        if reference in found:
            raise Refused("invalid_params", f"{reference.text} is named twice.", hint="Name it once.", pointer=here)
        found.append(reference)
    return found


def _resolve_reference(
    conn: Connection, tenant_id: str, method: JobRow, declared: JobRow, text: str, pointer: str
) -> Reference:
    is_summary = text.startswith("sum_")
    if declared["type"] not in ("either", *(("summary", "evidence") if is_summary else ("dataset",))):
        raise Refused(
            "invalid_params",
            f"`{declared['name']}` of {method['name']} is a {declared['type']}; {text} is none.",
            hint=f"Give {_example(declared)}.",
            pointer=pointer,
        )
    found = _summary(conn, tenant_id, text) if is_summary else resolve_dataset(conn, tenant_id, text, pointer)
    if found is None:
        raise Refused("unknown_summary", f"There is no summary {text}.", pointer=pointer)
    kind = declared["kind"] or method["kind"]
    if found.kind != kind:
        raise Refused("kind_mismatch", f"{text} is {found.kind}, not {kind}.", pointer=pointer)
    return found


def _example(declared: JobRow) -> str:
    examples = {"summary": '"sum_..."', "evidence": '"sum_..."', "dataset": '"ds_...@1"'}
    one = examples.get(declared["type"], '"sum_..." or "ds_...@1"')
    return f"[{one}, ...]" if declared["many"] else one


def statistics_of(conn: Connection, version: Reference) -> dict[str, Any]:
    """What was counted in a dataset version when it was made."""
    return dict(conn.scalar(_STATISTICS, {"id": version.id, "number": version.version}) or {})


def _summary(conn: Connection, tenant_id: str, text: str) -> Reference | None:
    row = conn.execute(
        select(summary.c.kind, summary.c.content_sha256).where(
            summary.c.id == text, summary.c.tenant_id == tenant_id, summary.c.deleted_at.is_(None)
        )
    ).one_or_none()
    return Reference("summary", text, 0, row.kind, text, row.content_sha256) if row else None
