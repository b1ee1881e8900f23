"""Create a job: check it against the catalogue, answer it from finished work if possible, else queue it.

The job row is its own outbox: it is created in the transaction of the request, and the dispatcher publishes it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Connection, Text, bindparam, func, insert, literal, select, text
from sqlalchemy.dialects.postgresql import JSONB

from app import tracing
from app.jobs.budgets import budget_said, need_possible_budget, share_of_bytes
from app.jobs.catalogue import checked_parameters, checked_reading, find_method
from app.jobs.checkpoint import adopt_checkpoint
from app.jobs.errors import Refused
from app.jobs.estimate import estimate
from app.jobs.limits import answers, covers, need_allowed
from app.jobs.needs import need_what_judging_needs
from app.jobs.quotas import admit_job, gpu_time_is_used
from app.jobs.references import Inputs, Reference, resolve_dataset, resolve_inputs, statistics_of
from app.jobs.route import GPU_QUEUE, may_run_elsewhere, queue_for
from app.jobs.states import JobRow, With, transition
from app.store.audit import OPERATOR
from app.store.database import Prepared, notify
from app.store.ids import new_id
from app.store.jobs import visible
from app.store.quotas import Quota, quota_of
from app.store.tables import audit, job, job_event, summary
from app.store.webhooks import get_endpoint, name_endpoints

_DEFAULT_QUOTA = Quota()
_TWINS = 20  # finished jobs of equal work that are looked at
_ASKED = ("kind", "method", "method_version", "params", "evaluate", "seed", "device", "deterministic")
_FOR_A_MOMENT = With(values={"lease_until": func.now()})
_AT_ONCE = With(values={"started_at": func.now()})


@dataclass(frozen=True)
class NewJob:
    """What a user asks for; the fields are those of `POST /v1/jobs`."""

    method: str
    dataset: str
    task: str | None = None
    inputs: dict[str, str | list[str]] = field(default_factory=dict[str, str | list[str]])
    params: dict[str, Any] = field(default_factory=dict[str, Any])
    evaluate: dict[str, Any] = field(default_factory=dict[str, Any])
    seed: int = 0
    device: str = "auto"
    limits: dict[str, Any] = field(default_factory=dict[str, Any])
    labels: dict[str, str] = field(default_factory=dict[str, str])
    priority: int = 0
    deterministic: bool = False
    force: bool = False
    webhooks: tuple[str, ...] = ()  # endpoints that hear of its end whatever else they listen to
    retry_of: str | None = None
    checkpoint: dict[str, Any] | None = None
    api_key_id: str | None = None
    request_id: str | None = None
    traceparent: str | None = None


def create_job(
    conn: Connection, tenant_id: str, new: NewJob, *, quota: Quota = _DEFAULT_QUOTA, validate_only: bool = False
) -> dict[str, Any]:
    """The row of the job that now answers the request.

    That is a new queued job, a new job answered at once from identical finished work (`cached_from`), or the
    identical job that is already queued or running. Raises `Refused`; with `validate_only` nothing is stored.
    """
    with tracing.span("create job", method=new.method):
        return _create(conn, tenant_id, new, quota, validate_only)


def _create(conn: Connection, tenant_id: str, new: NewJob, quota: Quota, validate_only: bool) -> dict[str, Any]:
    dataset = resolve_dataset(conn, tenant_id, new.dataset)
    method = find_method(conn, dataset.kind, new.method, new.task)
    inputs = resolve_inputs(conn, tenant_id, method, new.inputs)
    _need_endpoints(conn, tenant_id, new.webhooks)
    row = _row(conn, tenant_id, new, method, dataset, inputs)
    statistics = statistics_of(conn, dataset)
    need_possible_budget(row["params"], method["params_schema"], method["cost"].get("units", ""), statistics)
    need_what_judging_needs(method["task"], method["evaluate_schema"], statistics, row["evaluate"])
    if validate_only:
        need_allowed(new.limits, quota_of(conn, tenant_id, quota))
        of_bytes = share_of_bytes(row["params"].get("budget"), row["params"], method["params_schema"])
        said = {**row["params"], "budget": budget_said(row["params"], method["params_schema"], statistics)}
        cost = estimate(method["cost"], statistics, said, row["evaluate"], of_bytes=of_bytes)
        return {**row, "cost": cost, "progress": {}, "attempt": 0, "fence": 0, "last_seq": 0}
    # One creation of a tenant at a time: the look for identical work and the insert must not interleave.
    own = quota_of(conn, tenant_id, quota, lock=True)
    need_allowed(new.limits, own)
    if not new.force:
        if (live := _live_twin(conn, row, lock=bool(new.webhooks))) is not None:
            name_endpoints(conn, tenant_id, live["id"], new.webhooks)
            return dict(live)
        if (finished := _finished_twin(conn, row)) is not None:
            return _answer_from_cache(conn, row, finished, new.webhooks)
    if row["queue"] == GPU_QUEUE and may_run_elsewhere(method, new.device) and gpu_time_is_used(conn, tenant_id, own):
        row["queue"] = method["queue"]
    admit_job(conn, tenant_id, row["queue"], own)
    return _queue(conn, row, new.webhooks)


def create_ingest_job(
    conn: Connection,
    tenant_id: str,
    dataset: JobRow,
    version: int,
    *,
    quota: Quota = _DEFAULT_QUOTA,
    api_key_id: str | None = None,
    request_id: str | None = None,
) -> dict[str, Any]:
    """Queue the job that turns a version's uploaded files into canonical ones."""
    method = find_method(conn, dataset["kind"], "ingest", "ingest")
    params = checked_reading(method, dataset["options"], dataset["columns"])
    text = f"{dataset['id']}@{version}"
    # Its content is not known yet; the reference stands for it, so that two ingests never count as the same work.
    reference = Reference("dataset", dataset["id"], version, dataset["kind"], text, content=text)
    new = NewJob(method="ingest", dataset=reference.text, params=params, api_key_id=api_key_id, request_id=request_id)
    with tracing.span("create job", method="ingest"):
        row = _row(conn, tenant_id, new, method, reference, {})
        admit_job(conn, tenant_id, row["queue"], quota_of(conn, tenant_id, quota, lock=True))
        return _queue(conn, row)


def _row(
    conn: Connection, tenant_id: str, new: NewJob, method: JobRow, dataset: Reference, inputs: Inputs
) -> dict[str, Any]:
    params = checked_parameters(method["params_schema"], new.params, "/params")
    evaluate = checked_parameters(method["evaluate_schema"], new.evaluate, "/evaluate")
    row: dict[str, Any] = {
        "id": new_id("job"),
        "tenant_id": tenant_id,
        "task": method["task"],
        "kind": method["kind"],
        "method": method["name"],
        "method_version": method["version"],
        "dataset_id": dataset.id,
        "dataset_version": dataset.version,
        "inputs": _each(inputs, lambda reference: reference.text),
        "params": params,
        "evaluate": evaluate,
        "seed": new.seed,
        "device": new.device,
        "limits": new.limits,
        "labels": new.labels,
        "priority": new.priority,
        "deterministic": new.deterministic,
        "force": new.force,
        "queue": queue_for(conn, method, new.device),
        "retry_of": new.retry_of,
        "checkpoint": new.checkpoint,
        "api_key_id": new.api_key_id,
        "request_id": new.request_id,
        "traceparent": tracing.traceparent() or new.traceparent,
        "state": "queued",
    }
    row["input_hash"] = _input_hash(row, dataset, inputs)
    return row


def _input_hash(row: dict[str, Any], dataset: Reference, inputs: Inputs) -> str:
    parts = [row[name] for name in _ASKED]
    hashes = [dataset.content, _each(inputs, lambda reference: reference.content)]
    return hashlib.sha256(json.dumps([*parts, *hashes], sort_keys=True).encode()).hexdigest()


def _each(inputs: Inputs, of: Callable[[Reference], str]) -> dict[str, str | list[str]]:
    return {
        name: of(given) if isinstance(given, Reference) else [of(one) for one in given]
        for name, given in inputs.items()
    }


def _need_endpoints(conn: Connection, tenant_id: str, endpoint_ids: tuple[str, ...]) -> None:
    for endpoint_id in endpoint_ids:
        if get_endpoint(conn, tenant_id, endpoint_id) is None:
            raise Refused(
                "unknown_webhook",
                f"There is no webhook endpoint {endpoint_id}.",
                hint="Create it with POST /v1/webhooks.",
                pointer="/webhook/endpoint_id",
            )


def _live_twin(conn: Connection, row: dict[str, Any], *, lock: bool) -> JobRow | None:
    """Identical work that is under way and may take as long as this.

    With `lock` it does not end before this transaction has.
    """
    same = {name: row[name] for name in ("tenant_id", "input_hash")}
    live = (_LIVE_HELD if lock else _LIVE).all(conn, same)
    return next((one for one in live if covers(one["limits"], row["limits"])), None)


def _finished_twin(conn: Connection, row: dict[str, Any]) -> JobRow | None:
    """Identical succeeded work that no smaller limit cut; neither it nor the summary that it made was deleted."""
    done = _FINISHED.all(conn, {name: row[name] for name in ("tenant_id", "input_hash")})
    return next((one for one in done if answers(one["cut"], row["limits"])), None)


def _queue(conn: Connection, row: dict[str, Any], webhooks: tuple[str, ...] = ()) -> dict[str, Any]:
    made = _insert(conn, row)
    name_endpoints(conn, row["tenant_id"], row["id"], webhooks)
    if row["checkpoint"] is not None:
        adopt_checkpoint(conn, row["tenant_id"], row["id"], row["checkpoint"], str(row["retry_of"]))
    notify(conn, "job_queued", row["id"])
    return dict(made)


def _answer_from_cache(
    conn: Connection, row: dict[str, Any], finished: JobRow, webhooks: tuple[str, ...]
) -> dict[str, Any]:
    """A job that passes through its states in one transaction and points at the earlier job's result."""
    # It never holds work, so it must not count as the live job of its input.
    _insert(conn, {**row, "force": True, "checkpoint": None})
    name_endpoints(conn, row["tenant_id"], row["id"], webhooks)
    transition(conn, row["id"], "running", more=_FOR_A_MOMENT)
    done = transition(
        conn,
        row["id"],
        "succeeded",
        data={"result": finished["result"], "cached_from": finished["id"]},
        values={
            "result": finished["result"],
            "cached_from": finished["cached_from"] or finished["id"],
            "cost": finished["cost"],
            "environment": finished["environment"],
            "cut": finished["cut"],
            "progress": {"phase": "cached", "fraction": 1.0},
            "force": False,
        },
        more=_AT_ONCE,
    )
    assert done is not None  # noqa: S101 - both moves are open on a row of this transaction
    return dict(done)


def _insert(conn: Connection, row: dict[str, Any]) -> JobRow:
    """The job with its first event and its entry in the audit log, as one statement."""
    first = {"method": row["method"], "retry_of": row["retry_of"]}
    made = _made(tuple(row)).one(conn, {**row, "_first": first, "_entry": new_id("aud")})
    assert made is not None  # noqa: S101 - it was inserted just now
    return made


@cache
def _made(names: tuple[str, ...]) -> Prepared:
    given = {name: bindparam(name, type_=job.c[name].type) for name in names}
    made = insert(job).values(**given, last_seq=1).returning(job).cte("made")
    data = bindparam("_first", type_=JSONB)
    first = select(made.c.id, made.c.last_seq, made.c.tenant_id, literal("created"), data)
    event = insert(job_event).from_select(("job_id", "seq", "tenant_id", "type", "data"), first)
    actor = func.coalesce(made.c.api_key_id, OPERATOR)
    act = select(made.c.tenant_id, bindparam("_entry", type_=Text), actor, literal("job.create"), made.c.id)
    noted = insert(audit).from_select(("tenant_id", "id", "actor", "act", "object"), act)
    return Prepared(select(made).add_cte(event.cte("told"), noted.cte("noted")))


_SAME_LIVE = select(job).where(
    job.c.tenant_id == bindparam("tenant_id"),
    job.c.input_hash == bindparam("input_hash"),
    text("job.state IN ('queued', 'running') AND NOT job.force"),
)
_LIVE = Prepared(_SAME_LIVE)
_LIVE_HELD = Prepared(_SAME_LIVE.with_for_update(key_share=True))
_FINISHED = Prepared(
    select(job)
    .outerjoin(summary, summary.c.id == job.c.result["summary"].astext)
    .where(
        *visible(bindparam("tenant_id")),
        job.c.input_hash == bindparam("input_hash"),
        text("job.state = 'succeeded'"),
        summary.c.deleted_at.is_(None),
    )
    .order_by(text("job.cut <> '{}'"), job.c.finished_at.desc())
    .limit(_TWINS)
)
