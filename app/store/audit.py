"""Who did what: one row for each act, written in its transaction and never changed after (a trigger sees to it).

A row holds ids and the name of an act, nothing that a user wrote. Acts that change nothing, such as downloads, are
noted once a minute for each key and thing, so that reading a file in many pieces is one row.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Text,
    bindparam,
    cast,
    delete,
    exists,
    func,
    literal,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import Insert, insert

from app.store.database import Prepared
from app.store.ids import new_id
from app.store.lists import After
from app.store.tables import audit, tenant

OPERATOR = "operator"
"""The actor of what was done by a command on the machines of the service."""
ERASURE = "tenant.erase"
LEAST_KEEP_S = 2_592_000.0
"""Younger rows are not deleted, whatever the settings say: the trigger refuses it."""
_BATCH = 10_000


def record(conn: Connection, tenant_id: str, actor: str, act: str, *objects: str) -> None:
    """Note an act on each of these things; nothing, once the tenant is being erased."""
    for one in objects:
        _ACT.all(conn, {"tenant": tenant_id, "id": new_id("aud"), "actor": actor, "act": act, "object": one})


def record_reading(conn: Connection, tenant_id: str, actor: str, act: str, one: str) -> None:
    """Note an act that changes nothing, unless it was noted in this minute."""
    name = hashlib.sha256("\0".join((actor, act, one)).encode()).hexdigest()[:19]
    _READING.all(conn, {"tenant": tenant_id, "id": f"aud_{name}", "actor": actor, "act": act, "object": one})


@dataclass(frozen=True)
class Wanted:
    """Which entries: of this actor, of this act, after and before these times (neither included)."""

    actor: str | None = None
    act: str | None = None
    after: datetime | None = None
    before: datetime | None = None


def list_entries(
    conn: Connection, tenant_id: str, wanted: Wanted, *, beyond: After | None, limit: int, oldest_first: bool = False
) -> list[dict[str, Any]]:
    """Entries in the order of time, newest first unless `oldest_first`. `beyond`: where the last page ended."""
    place, own = tuple_(audit.c.at, audit.c.id), [audit.c.tenant_id == tenant_id]
    own += [audit.c.actor == wanted.actor] if wanted.actor is not None else []
    own += [audit.c.act == wanted.act] if wanted.act is not None else []
    own += [audit.c.at > literal(wanted.after, audit.c.at.type)] if wanted.after is not None else []
    own += [audit.c.at < literal(wanted.before, audit.c.at.type)] if wanted.before is not None else []
    if beyond is not None:
        last = tuple_(literal(beyond[0], audit.c.at.type), literal(beyond[1]))
        own.append(place > last if oldest_first else place < last)
    order = (audit.c.at, audit.c.id) if oldest_first else (audit.c.at.desc(), audit.c.id.desc())
    rows = conn.execute(select(*_SHOWN).where(*own).order_by(*order).limit(limit))
    return [dict(row) for row in rows.mappings()]


def forget_entries(conn: Connection, keep_s: float) -> int:
    """Delete a batch of entries that are older than `keep_s`; returns how many."""
    old = audit.c.at < func.now() - text(f"interval '{float(keep_s)} seconds'")
    batch = select(audit.c.tenant_id, audit.c.at, audit.c.id).where(old).limit(_BATCH).subquery()
    key = tuple_(audit.c.tenant_id, audit.c.at, audit.c.id)
    return conn.execute(delete(audit).where(key.in_(select(batch)))).rowcount


def forget_tenant(conn: Connection, tenant_id: str) -> None:
    """Delete the entries of a tenant that is erased, but that of its erasure.

    After the tenant's own row was deleted, if it can be: that waits for whoever still notes an act (see `_noted`).
    """
    conn.execute(delete(audit).where(audit.c.tenant_id == tenant_id, audit.c.act != ERASURE))


def _noted(at: Any, name: ColumnElement[str], *also: ColumnElement[bool]) -> Insert:
    """From the tenant's row, so that nothing is written for a tenant that is about to be gone; it is held until the
    entry is committed, so that the row does not go meanwhile and leave an entry that nobody deletes any more."""
    given = [bindparam(each, type_=Text) for each in ("actor", "act", "object")]
    mine = (tenant.c.id == bindparam("tenant", type_=Text), tenant.c.erasing_at.is_(None))
    living = select(tenant.c.id, at, name, *given).where(*mine, *also).with_for_update(read=True, key_share=True)
    return insert(audit).from_select(("tenant_id", "at", "id", "actor", "act", "object"), living)


_SHOWN = (audit.c.id, audit.c.at, audit.c.actor, audit.c.act, audit.c.object)
_ID = bindparam("id", type_=Text)
_ACT = Prepared(_noted(func.now(), _ID).returning(audit.c.id))
_MINUTE = func.date_trunc("minute", func.now())
# The same reading has another id in another minute. Who finds it noted locks nothing, and so writes nothing.
_ID_OF_MINUTE = func.concat(_ID, func.to_hex(cast(func.extract("epoch", _MINUTE) / 60, BigInteger)))
_NOTED = exists().where(audit.c.tenant_id == tenant.c.id, audit.c.at == _MINUTE, audit.c.id == _ID_OF_MINUTE)
_READING = Prepared(_noted(_MINUTE, _ID_OF_MINUTE, ~_NOTED).on_conflict_do_nothing().returning(audit.c.id))
