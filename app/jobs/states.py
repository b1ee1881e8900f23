"""The states of a job and the one function that moves it between them.

    queued --claim--> running --commit--> succeeded
      |  ^              |   |---error-----> failed
      |  '--requeue-----'   '---cancel----> cancelling --> cancelled (or failed)
      '----cancel-----------------------------------------> cancelled

The database refuses every other move by itself (trigger `job_guard`), so a bug here cannot break history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Text,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.dml import UpdateBase

from app.store.database import Prepared, notify
from app.store.tables import job, job_event
from app.store.webhooks import has_endpoints
from app.webhooks.announce import announce_end

JobRow = Mapping[Any, Any]
"""A row of the table `job`."""

SOURCES: dict[str, tuple[str, ...]] = {
    "queued": ("running",),
    "running": ("queued",),
    "cancelling": ("running",),
    "succeeded": ("running",),
    "failed": ("running", "cancelling"),
    "cancelled": ("queued", "cancelling"),
}
OWNED = ("running", "cancelling")
TERMINAL = ("succeeded", "failed", "cancelled")
_EVENT = {"running": "started", "queued": "requeued"}


@dataclass(frozen=True, eq=False)
class With:
    """What a move does beside changing the state, in SQL; made once, as the statement of each move is kept.

    `where`: what must hold, too. `values`: columns and what they become. `also`: further writes, made if and only if
    the job moves; the CTE that they are given is its new row, or empty. `shown`: columns of the row that comes back.
    """

    where: tuple[ColumnElement[bool], ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    also: Callable[[CTE], Sequence[UpdateBase]] = lambda moved: ()
    shown: tuple[Column[Any], ...] = tuple(job.c)


_NOTHING_ELSE = With()


def transition(
    conn: Connection,
    job_id: str | None,
    to: str,
    *,
    fence: int | None = None,
    source: str | None = None,
    data: Mapping[str, Any] | None = None,
    values: Mapping[str, Any] | None = None,
    more: With = _NOTHING_ELSE,
    params: Mapping[str, Any] | None = None,
) -> JobRow | None:
    """Move a job to the state `to` and write the event of it; None when the move is not open (any more).

    `job_id`: None for the one that `more` finds. `fence`: only its owner may move it. `source`: only from this state.
    `data`: what the event tells. `values`: further columns set with the move. `more`: what else belongs to it, and
    `params`, the parameters of that. All of it is one statement, so that it costs one trip to the database.
    """
    sources = (source,) if source else SOURCES[to]
    statement = _move(to, sources, job_id is not None, fence is not None, tuple(values or ()), more)
    given = {"_job": job_id, "_fence": fence, "_kind": _EVENT.get(to, to), "_data": dict(data or {})}
    row = statement.one(conn, {**given, **_named(values), **(params or {})})
    if row is None:
        return None
    if row.get("heard"):
        announce_end(conn, row["id"])
    if to == "queued":
        notify(conn, "job_queued", row["id"])
    if to == "cancelling":
        notify(conn, "job_cancel", row["id"])
    return row


def append_event(
    conn: Connection,
    job_id: str,
    kind: str,
    data: Mapping[str, Any],
    *,
    fence: int | None = None,
    values: Mapping[str, Any] | None = None,
) -> bool:
    """Add an event that is no move; False when `fence` no longer owns the job."""
    statement = _event(fence is not None, tuple(values or ()))
    given = {"_job": job_id, "_fence": fence, "_kind": kind, "_data": dict(data)}
    return statement.one(conn, {**given, **_named(values)}) is not None


def lease(seconds: float | ColumnElement[Any]) -> Any:
    """The end of a lease that starts now, by the database's clock."""
    return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, seconds)


# Building a statement takes longer than running it, and there are few: each is built when it is first needed.
_NAMED = (job.c.id == bindparam("_job", type_=Text),)
_KEYS = (job.c.id, job.c.last_seq, job.c.tenant_id)
_FENCED = (job.c.fence == bindparam("_fence", type_=BigInteger),)


@cache
def _move(to: str, sources: tuple[str, ...], named: bool, fenced: bool, names: tuple[str, ...], more: With) -> Prepared:
    values: dict[str, Any] = {"state": to, **more.values, **_binds(names)}
    if to not in OWNED:
        values["lease_until"] = None
    if to in TERMINAL:
        values["finished_at"] = func.now()
    conditions = [*(_NAMED if named else ()), *(_FENCED if fenced else ()), _is_in(sources), *more.where]
    return _change(conditions, values, more.shown, more.also, (_heard,) if to in TERMINAL else ())


def _heard(moved: CTE) -> ColumnElement[bool]:
    """Whether somebody may want to hear of a job's end: mostly there is nobody, and nothing more to ask."""
    return has_endpoints(moved.c.tenant_id).label("heard")


@cache
def _event(fenced: bool, names: tuple[str, ...]) -> Prepared:
    conditions = [*_NAMED, *((*_FENCED, _is_in(OWNED)) if fenced else ())]
    return _change(conditions, _binds(names), _KEYS, lambda changed: ())


def _change(
    conditions: Sequence[ColumnElement[bool]],
    values: Mapping[str, Any],
    shown: Sequence[Column[Any]],
    also: Callable[[CTE], Sequence[UpdateBase]],
    asked: Sequence[Callable[[CTE], ColumnElement[Any]]] = (),
) -> Prepared:
    """Change the one job of which the conditions hold, write its next event, and show some of its new row."""
    changed = update(job).where(*conditions).values(last_seq=job.c.last_seq + 1, **values).returning(*shown)
    changed = changed.cte("changed")
    kind, data = bindparam("_kind", type_=Text), bindparam("_data", type_=JSONB)
    told = select(changed.c.id, changed.c.last_seq, changed.c.tenant_id, kind, data)
    event = insert(job_event).from_select(("job_id", "seq", "tenant_id", "type", "data"), told)
    writes = [event, *also(changed)]
    shown_and_asked = select(changed, *(ask(changed) for ask in asked))
    return Prepared(shown_and_asked.add_cte(*(write.cte(f"write_{number}") for number, write in enumerate(writes))))


def _is_in(states: Iterable[str]) -> ColumnElement[bool]:
    # Not the bare column: to the planner, going through an index of all queued jobs may look cheap.
    return or_(*(job.c.state + "" == state for state in states))


def _binds(names: Iterable[str]) -> dict[str, Any]:
    return {name: bindparam(f"_new_{name}", type_=job.c[name].type) for name in names}


def _named(values: Mapping[str, Any] | None) -> dict[str, Any]:
    return {f"_new_{name}": value for name, value in (values or {}).items()}
