"""API keys: who may ask. Only a hash of the secret is stored."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Text,
    bindparam,
    create_engine,
    delete,
    func,
    insert,
    select,
    text,
    update,
)

from app.settings import DatabaseSettings
from app.store.audit import OPERATOR, record
from app.store.database import Prepared
from app.store.ids import new_id
from app.store.tables import api_key, tenant

SCOPES = (
    "datasets:read",
    "datasets:write",
    "jobs:read",
    "jobs:write",
    "summaries:read",
    "webhooks:write",
    "admin",
)


@dataclass(frozen=True)
class Identity:
    """Who a request comes from."""

    key_id: str
    tenant_id: str
    name: str
    scopes: frozenset[str]


def create_key(
    conn: Connection,
    tenant_id: str,
    name: str,
    scopes: Sequence[str],
    expires_at: datetime | None = None,
    *,
    made_by: str | None = None,
) -> tuple[dict[str, Any], str]:
    """Make a key; returns its row and the token `dsk_<id>_<secret>`, which is shown this once.

    `made_by`: a key that it falls with, so it does not outlive that one's time either.
    """
    secret = secrets.token_urlsafe(32)
    its_end = select(api_key.c.expires_at).where(api_key.c.id == made_by).scalar_subquery()
    row = (
        conn.execute(
            insert(api_key)
            .values(
                id=new_id("key"),
                tenant_id=tenant_id,
                name=name,
                secret_sha256=_digest(secret),
                scopes=list(scopes),
                expires_at=expires_at if made_by is None else func.least(expires_at, its_end),
                made_by=made_by,
            )
            .returning(*_PUBLIC)
        )
        .mappings()
        .one()
    )
    return dict(row), f"dsk_{row['id'].removeprefix('key_')}_{secret}"


def count_keys(conn: Connection, tenant_id: str) -> int:
    """Keys of a tenant, those that were revoked or have expired too while they are listed; the tenant is held."""
    conn.execute(select(tenant.c.id).where(tenant.c.id == tenant_id).with_for_update(key_share=True))
    return conn.scalar(select(func.count()).where(api_key.c.tenant_id == tenant_id)) or 0


def identify(conn: Connection, token: str) -> Identity | None:
    """The identity behind a token, or None when it is unknown, expired or revoked."""
    parts = token.split("_", 2)
    # A NUL cannot be part of any key, and Postgres refuses to compare with one.
    if len(parts) != 3 or parts[0] != "dsk" or not (token.isascii() and token.isprintable()):
        return None
    row = _VALID.one(conn, {"key_id": f"key_{parts[1]}"})
    if row is None or not hmac.compare_digest(row["secret_sha256"], _digest(parts[2])):
        return None
    return _identity(row)


def identity_of(conn: Connection, key_id: str) -> Identity | None:
    """The identity of a live key that is known by its id alone, to be asked only for one whose secret was shown."""
    row = _VALID.one(conn, {"key_id": key_id})
    return None if row is None else _identity(row)


def touch(conn: Connection, key_id: str) -> None:
    """Note that a key was used, at most once a minute so that reads stay reads."""
    stale = (api_key.c.last_used_at.is_(None)) | (
        api_key.c.last_used_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 1)
    )
    conn.execute(update(api_key).where(api_key.c.id == key_id, stale).values(last_used_at=func.now()))


def list_keys(conn: Connection, tenant_id: str) -> list[dict[str, Any]]:
    """Every key of a tenant, newest first, without secrets."""
    rows = conn.execute(select(*_PUBLIC).where(api_key.c.tenant_id == tenant_id).order_by(api_key.c.id.desc()))
    return [dict(row) for row in rows.mappings()]


def is_live(conn: Connection, key_id: str) -> bool:
    """Whether a key is neither revoked nor expired."""
    return conn.scalar(select(api_key.c.id).where(api_key.c.id == key_id, *_live())) is not None


class LastAdminKey(Exception):
    """Without this key, and those that fall with it, nobody could manage the tenant's keys any more."""


def revoke_key(
    conn: Connection, tenant_id: str, key_id: str, *, keep_made: bool = False, even_last: bool = False
) -> list[str]:
    """Make a key useless from now on, and those that it made, and those that these made; returns the ids of all.

    Empty when the tenant has no such live key. `keep_made`: those that it made stay, and fall with the one that made
    it. `LastAdminKey`: no live key with the scope admin would be left, which `even_last` allows.
    """
    conn.execute(select(tenant.c.id).where(tenant.c.id == tenant_id).with_for_update(key_share=True))
    named = (api_key.c.id == key_id, api_key.c.tenant_id == tenant_id, *_live())
    row = conn.execute(select(api_key.c.id, api_key.c.made_by).where(*named)).one_or_none()
    if row is None:
        return []
    falling = [row.id] if keep_made else _made_from(conn, row.id)
    stays = select(api_key.c.id).where(
        api_key.c.tenant_id == tenant_id, api_key.c.scopes.contains(["admin"]), api_key.c.id.not_in(falling), *_live()
    )
    if not even_last and conn.scalar(stays.limit(1)) is None:
        raise LastAdminKey(key_id)
    if keep_made:
        conn.execute(update(api_key).where(api_key.c.made_by == key_id).values(made_by=row.made_by))
    dead = update(api_key).where(api_key.c.id.in_(falling), api_key.c.revoked_at.is_(None))
    return list(conn.scalars(dead.values(revoked_at=func.now()).returning(api_key.c.id)))


def forget_dead_keys(conn: Connection, keep_s: float) -> int:
    """Delete keys that were revoked, or expired, so long ago; returns how many."""
    ended = func.least(api_key.c.revoked_at, api_key.c.expires_at)
    old = ended < func.now() - text(f"interval '{float(keep_s)} seconds'")
    return conn.execute(delete(api_key).where(old)).rowcount


def _made_from(conn: Connection, key_id: str) -> list[str]:
    """A key, and all that were made with it, however indirectly."""
    made = select(api_key.c.id).where(api_key.c.id == key_id).cte("made", recursive=True)
    made = made.union(select(api_key.c.id).where(api_key.c.made_by == made.c.id))
    return list(conn.scalars(select(made.c.id)))


def _live() -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return api_key.c.revoked_at.is_(None), api_key.c.expires_at.is_(None) | (api_key.c.expires_at > func.now())


def ensure_first_key(url: str, *, tenant_name: str = "default") -> str:
    """A fresh admin token for the named tenant, which is made when missing; older keys stay valid."""
    engine = create_engine(url)
    try:
        with engine.begin() as conn:
            tenant_id = conn.scalar(select(tenant.c.id).where(tenant.c.name == tenant_name))
            if tenant_id is None:
                tenant_id = new_id("ten")
                conn.execute(insert(tenant).values(id=tenant_id, name=tenant_name))
            row, token = create_key(conn, tenant_id, "first key", SCOPES)
            record(conn, tenant_id, OPERATOR, "api_key.create", row["id"])
            return token
    finally:
        engine.dispose()


def main() -> None:
    """`python -m app.store.api_keys [TENANT]`: make an admin key for a tenant and print it, this one time."""
    settings = DatabaseSettings()  # pyright: ignore[reportCallIssue] - filled from the environment
    tenant_name = sys.argv[1] if len(sys.argv) > 1 else "default"
    sys.stdout.write(ensure_first_key(settings.database_url, tenant_name=tenant_name) + "\n")


def _identity(row: Mapping[str, Any]) -> Identity:
    return Identity(row["id"], row["tenant_id"], row["name"], frozenset(row["scopes"]))


def _digest(secret: str) -> bytes:
    # The secret is 256 random bits, so a plain hash is as hard to invert as a slow one.
    return hashlib.sha256(secret.encode()).digest()


_VALID = Prepared(select(api_key).where(api_key.c.id == bindparam("key_id", type_=Text), *_live()))
_PUBLIC = (
    api_key.c.id,
    api_key.c.name,
    api_key.c.scopes,
    api_key.c.created_at,
    api_key.c.expires_at,
    api_key.c.last_used_at,
    api_key.c.revoked_at,
    api_key.c.made_by,
)


if __name__ == "__main__":
    main()
