"""Remembered answers of POST requests that carried an Idempotency-Key.

The row is written in the transaction of the resource it made, so there is an answer exactly when there is a
resource. A request that fails leaves no row: it made nothing, and may be sent again with the same key.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, text

from app.store.tables import idempotency_key


@dataclass(frozen=True)
class Scope:
    """What a key is unique within: the API key that sent it and the route it was sent to."""

    tenant_id: str
    api_key_id: str
    route: str
    key: str


@dataclass(frozen=True)
class Remembered:
    """The answer to an earlier request with this key."""

    body_sha256: str
    status: int
    response: Any
    headers: dict[str, str]


def lock_key(conn: Connection, scope: Scope) -> bool:
    """Hold the key until the transaction ends; False when another request holds it now."""
    name = "\0".join((scope.api_key_id, scope.route, scope.key)).encode()
    number = int.from_bytes(hashlib.sha256(name).digest()[:8], "big", signed=True)
    return bool(conn.scalar(text("SELECT pg_try_advisory_xact_lock(:number)"), {"number": number}))


def recall(conn: Connection, scope: Scope) -> Remembered | None:
    """The stored answer, unless it has expired."""
    row = conn.execute(
        select(idempotency_key).where(*_where(scope), idempotency_key.c.expires_at > func.now())
    ).one_or_none()
    if row is None:
        return None
    return Remembered(row.body_sha256, row.status, row.response, row.headers)


def remember(conn: Connection, scope: Scope, answer: Remembered, *, keep_s: float) -> None:
    """Store the answer for `keep_s` seconds."""
    conn.execute(delete(idempotency_key).where(*_where(scope)))
    conn.execute(
        insert(idempotency_key).values(
            api_key_id=scope.api_key_id,
            route=scope.route,
            key=scope.key,
            tenant_id=scope.tenant_id,
            body_sha256=answer.body_sha256,
            status=answer.status,
            response=answer.response,
            headers=answer.headers,
            expires_at=func.now() + text(f"interval '{float(keep_s)} seconds'"),
        )
    )


def forget_expired(conn: Connection) -> int:
    """Delete answers past their time; returns how many. For the sweeper."""
    done = conn.execute(delete(idempotency_key).where(idempotency_key.c.expires_at <= func.now()))
    return done.rowcount


def _where(scope: Scope) -> tuple[Any, ...]:
    return (
        idempotency_key.c.api_key_id == scope.api_key_id,
        idempotency_key.c.route == scope.route,
        idempotency_key.c.key == scope.key,
    )
