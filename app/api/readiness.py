"""What the process needs around it, looked at on request."""

from __future__ import annotations

from sqlalchemy import Connection

from app.store.blobs import Blobs, StoreUnavailable
from app.store.jobs import overdue_leases, unregistered_owners

_BROKER_S = 0.5


def check_schema(conn: Connection) -> str:
    """`ok`, or which revision the database is at instead of the one this code expects.

    A later one is `ok`: migrations add, and during an upgrade the old processes serve until they are replaced.
    """
    from app.store.migrate import current_revision, head_revision, is_later  # only here: Alembic is slow to import

    found, expected = current_revision(conn), head_revision()
    return "ok" if found == expected or is_later(found) else f"at {found}, this code expects {expected}"


def check_work(conn: Connection) -> list[str]:
    """What is odd about the work, in sentences: nothing, mostly."""
    overdue, strangers = overdue_leases(conn), unregistered_owners(conn)
    notes: list[str] = []
    if overdue:
        notes.append(f"{overdue} running jobs have a lease that is over, and no dispatcher has taken them back.")
    if strangers:
        notes.append(f"{strangers} workers own running jobs and are not registered.")
    return notes


def check_store(blobs: Blobs) -> str:
    """`ok`, or why files cannot be stored."""
    try:
        blobs.check()
    except StoreUnavailable as error:
        return str(error)
    return "ok"


def check_broker(url: str) -> str:
    """`ok`, or why hints cannot be published; jobs then start only when the dispatcher reaches it again."""
    import redis  # only here: the API itself never talks to the broker

    address = url.replace("redis+socket://", "unix://", 1)
    try:
        with redis.Redis.from_url(address, socket_connect_timeout=_BROKER_S, socket_timeout=_BROKER_S) as client:
            client.ping()
    except (redis.RedisError, OSError, ValueError) as error:
        return type(error).__name__
    return "ok"
