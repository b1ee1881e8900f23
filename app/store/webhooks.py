"""Queries for webhook endpoints and the messages to them. A deleted endpoint is invisible here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Text, cast, delete, exists, func, literal, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY, insert

from app.store.ids import new_id
from app.store.tables import job_webhook, tenant, webhook_delivery, webhook_endpoint

After = tuple[datetime, str]
EVENTS = ("dataset.ready", "job.cancelled", "job.failed", "job.succeeded")
_live = webhook_endpoint.c.deleted_at.is_(None)


def lock_endpoints(conn: Connection, tenant_id: str) -> None:
    """Let one transaction at a time add endpoints of a tenant or change their addresses."""
    conn.execute(select(tenant.c.id).where(tenant.c.id == tenant_id).with_for_update(key_share=True))


def create_endpoint(
    conn: Connection, tenant_id: str, *, url: str, description: str, events: Sequence[str], secret: str
) -> dict[str, Any] | None:
    """A new endpoint; None when the tenant has one of this address."""
    row = conn.execute(
        insert(webhook_endpoint)
        .values(
            id=new_id("wh"),
            tenant_id=tenant_id,
            url=url,
            description=description,
            events=list(events),
            secret=secret,
        )
        .on_conflict_do_nothing(index_elements=["tenant_id", "url"], index_where=_live)
        .returning(webhook_endpoint)
    ).mappings().one_or_none()  # fmt: skip
    return dict(row) if row else None


def get_endpoint(conn: Connection, tenant_id: str, endpoint_id: str) -> dict[str, Any] | None:
    """One endpoint."""
    query = select(webhook_endpoint).where(
        webhook_endpoint.c.id == endpoint_id, webhook_endpoint.c.tenant_id == tenant_id, _live
    )
    row = conn.execute(query).mappings().one_or_none()
    return dict(row) if row else None


def find_endpoint(conn: Connection, tenant_id: str, url: str) -> dict[str, Any] | None:
    """The endpoint of an address."""
    query = select(webhook_endpoint).where(
        webhook_endpoint.c.tenant_id == tenant_id, webhook_endpoint.c.url == url, _live
    )
    row = conn.execute(query).mappings().one_or_none()
    return dict(row) if row else None


def list_endpoints(conn: Connection, tenant_id: str, *, after: After | None, limit: int) -> list[dict[str, Any]]:
    """Endpoints, newest first, older than `after`."""
    query = select(webhook_endpoint).where(webhook_endpoint.c.tenant_id == tenant_id, _live)
    if after is not None:
        then = tuple_(literal(after[0], webhook_endpoint.c.created_at.type), literal(after[1]))
        query = query.where(tuple_(webhook_endpoint.c.created_at, webhook_endpoint.c.id) < then)
    query = query.order_by(webhook_endpoint.c.created_at.desc(), webhook_endpoint.c.id.desc()).limit(limit)
    return [dict(row) for row in conn.execute(query).mappings()]


def count_endpoints(conn: Connection, tenant_id: str) -> int:
    """How many endpoints a tenant has."""
    query = select(func.count()).select_from(webhook_endpoint).where(webhook_endpoint.c.tenant_id == tenant_id, _live)
    return conn.scalar(query) or 0


def update_endpoint(
    conn: Connection, tenant_id: str, endpoint_id: str, changes: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Change columns of an endpoint; None when another one of the tenant has the new address."""
    taken = exists().where(
        webhook_endpoint.c.tenant_id == tenant_id,
        webhook_endpoint.c.url == changes.get("url"),
        webhook_endpoint.c.id != endpoint_id,
        _live,
    )
    if conn.scalar(select(taken)):
        return None
    row = conn.execute(
        update(webhook_endpoint)
        .where(webhook_endpoint.c.id == endpoint_id, webhook_endpoint.c.tenant_id == tenant_id, _live)
        .values(**changes, updated_at=func.now())
        .returning(webhook_endpoint)
    ).mappings().one()  # fmt: skip
    return dict(row)


def switch_endpoint(conn: Connection, tenant_id: str, endpoint_id: str, *, enabled: bool) -> None:
    """Enable an endpoint, or disable it for its user; nothing when it is so already."""
    values = {
        "disabled_at": None if enabled else func.now(),
        "disabled_reason": None if enabled else "user",
        "updated_at": func.now(),
    }
    conn.execute(
        update(webhook_endpoint)
        .where(
            webhook_endpoint.c.id == endpoint_id,
            webhook_endpoint.c.tenant_id == tenant_id,
            webhook_endpoint.c.disabled_at.is_not(None) if enabled else webhook_endpoint.c.disabled_at.is_(None),
            _live,
        )
        .values(**values)
    )


def rotate_secret(
    conn: Connection, tenant_id: str, endpoint_id: str, secret: str, *, keep_s: float
) -> dict[str, Any] | None:
    """Give an endpoint a new secret; the one so far counts beside it for `keep_s` seconds. None: no such endpoint."""
    until = func.now() + func.make_interval(0, 0, 0, 0, 0, 0, keep_s)
    row = conn.execute(
        update(webhook_endpoint)
        .where(webhook_endpoint.c.id == endpoint_id, webhook_endpoint.c.tenant_id == tenant_id, _live)
        .values(
            secret=secret,
            previous_secret=webhook_endpoint.c.secret if keep_s else None,
            previous_until=until if keep_s else None,
            updated_at=func.now(),
        )
        .returning(webhook_endpoint)
    ).mappings().one_or_none()  # fmt: skip
    return dict(row) if row else None


def delete_endpoint(conn: Connection, tenant_id: str, endpoint_id: str) -> bool:
    """Hide an endpoint and forget its secrets. Its row stays: a job that ends now may be referring to it."""
    done = conn.execute(
        update(webhook_endpoint)
        .where(webhook_endpoint.c.id == endpoint_id, webhook_endpoint.c.tenant_id == tenant_id, _live)
        .values(deleted_at=func.now(), secret="", previous_secret=None)
    )
    return done.rowcount == 1


def name_endpoints(conn: Connection, tenant_id: str, job_id: str, endpoint_ids: Collection[str]) -> None:
    """Let these endpoints hear of a job's end."""
    for endpoint_id in endpoint_ids:
        values = {"job_id": job_id, "endpoint_id": endpoint_id, "tenant_id": tenant_id}
        conn.execute(insert(job_webhook).values(**values).on_conflict_do_nothing())


def named_endpoints(conn: Connection, tenant_id: str, job_id: str) -> list[str]:
    """The endpoints that a job names and that still exist."""
    query = (
        select(job_webhook.c.endpoint_id)
        .join(webhook_endpoint, webhook_endpoint.c.id == job_webhook.c.endpoint_id)
        .where(job_webhook.c.job_id == job_id, job_webhook.c.tenant_id == tenant_id, _live)
    )
    return list(conn.scalars(query))


def has_endpoints(tenant_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a tenant has an enabled endpoint."""
    return exists().where(webhook_endpoint.c.tenant_id == tenant_id, webhook_endpoint.c.disabled_at.is_(None), _live)


def listeners(conn: Connection, tenant_id: str, event: str, job_id: str) -> list[str]:
    """The enabled endpoints that hear of this event: those that listen to it, and those that the job names."""
    named = exists().where(job_webhook.c.job_id == job_id, job_webhook.c.endpoint_id == webhook_endpoint.c.id)
    query = select(webhook_endpoint.c.id).where(
        webhook_endpoint.c.tenant_id == tenant_id,
        webhook_endpoint.c.disabled_at.is_(None),
        _live,
        or_(webhook_endpoint.c.events.contains(cast([event], ARRAY(Text))), named),
    )
    return list(conn.scalars(query))


def add_delivery(
    conn: Connection, tenant_id: str, endpoint_id: str, *, event: str, body: str, job_id: str | None = None
) -> dict[str, Any]:
    """A message to an endpoint, due at once."""
    values = {"tenant_id": tenant_id, "endpoint_id": endpoint_id, "event": event, "body": body, "job_id": job_id}
    made = conn.execute(insert(webhook_delivery).values(id=new_id("msg"), **values).returning(webhook_delivery))
    return dict(made.mappings().one())


def get_delivery(conn: Connection, tenant_id: str, endpoint_id: str, delivery_id: str) -> dict[str, Any] | None:
    """One message of a visible endpoint."""
    row = conn.execute(
        _deliveries(tenant_id, endpoint_id).where(webhook_delivery.c.id == delivery_id)
    ).mappings().one_or_none()  # fmt: skip
    return dict(row) if row else None


def list_deliveries(
    conn: Connection,
    tenant_id: str,
    endpoint_id: str,
    *,
    state: str | None,
    job_id: str | None,
    after: After | None,
    limit: int,
) -> list[dict[str, Any]]:
    """Messages to an endpoint, newest first, older than `after`."""
    query = _deliveries(tenant_id, endpoint_id)
    if state is not None:
        query = query.where(webhook_delivery.c.state == state)
    if job_id is not None:
        query = query.where(webhook_delivery.c.job_id == job_id)
    if after is not None:
        then = tuple_(literal(after[0], webhook_delivery.c.created_at.type), literal(after[1]))
        query = query.where(tuple_(webhook_delivery.c.created_at, webhook_delivery.c.id) < then)
    query = query.order_by(webhook_delivery.c.created_at.desc(), webhook_delivery.c.id.desc()).limit(limit)
    return [dict(row) for row in conn.execute(query).mappings()]


def redeliver(conn: Connection, tenant_id: str, endpoint_id: str, delivery_id: str) -> dict[str, Any] | None:
    """Make a message due again, with all its tries; None when there is none."""
    row = conn.execute(
        update(webhook_delivery)
        .where(
            webhook_delivery.c.id == delivery_id,
            webhook_delivery.c.endpoint_id == endpoint_id,
            webhook_delivery.c.tenant_id == tenant_id,
        )
        .values(state="pending", attempt=0, next_at=func.now(), delivered_at=None)
        .returning(webhook_delivery)
    ).mappings().one_or_none()  # fmt: skip
    return dict(row) if row else None


class DueEndpoint(NamedTuple):
    """An endpoint with a message due. `failing`: it did not take one of those when it was sent."""

    id: str
    tenant_id: str
    failing: bool


def due_endpoints(conn: Connection, *, busy: Collection[str], full_tenants: Collection[str]) -> list[DueEndpoint]:
    """Up to 200 enabled endpoints with a message due, those that do not fail first, then the longest waiting.

    `busy`: endpoints that are being served; `full_tenants`: tenants that have their share of the slots. Of each tenant
    come no more than 20, so that none fills the answer.
    """
    failing = func.bool_or(webhook_delivery.c.attempt > 0).label("failing")
    first = func.min(webhook_delivery.c.next_at).label("first")
    place = func.row_number().over(partition_by=webhook_endpoint.c.tenant_id, order_by=(failing, first))
    due = (
        select(webhook_endpoint.c.id, webhook_endpoint.c.tenant_id, failing, first, place.label("place"))
        .join(webhook_delivery, webhook_delivery.c.endpoint_id == webhook_endpoint.c.id)
        .where(
            *_due,
            webhook_endpoint.c.id.not_in(list(busy)),
            webhook_endpoint.c.tenant_id.not_in(list(full_tenants)),
        )
        .group_by(webhook_endpoint.c.id, webhook_endpoint.c.tenant_id)
        .subquery()
    )
    query = select(due.c.id, due.c.tenant_id, due.c.failing).where(due.c.place <= 20)
    return [DueEndpoint(*row) for row in conn.execute(query.order_by(due.c.failing, due.c.first).limit(200))]


def claim_delivery(conn: Connection, endpoint_id: str, lease_s: float) -> dict[str, Any] | None:
    """The endpoint's next due message, with its try counted; nobody else sends it until `lease_s` have passed.

    The row has the endpoint's `url` and the `secrets` that count now. A sender that dies leaves the message pending,
    so it is sent again: at least once, never lost.
    """
    due = conn.scalar(
        select(webhook_delivery.c.id)
        .join(webhook_endpoint, webhook_endpoint.c.id == webhook_delivery.c.endpoint_id)
        .where(*_due, webhook_endpoint.c.id == endpoint_id)
        .order_by(webhook_delivery.c.next_at)
        .limit(1)
        .with_for_update(of=webhook_delivery, skip_locked=True)
    )
    if due is None:
        return None
    claimed = (
        update(webhook_delivery)
        .where(webhook_delivery.c.id == due)
        .values(
            attempt=webhook_delivery.c.attempt + 1,
            next_at=func.now() + func.make_interval(0, 0, 0, 0, 0, 0, lease_s),
            last_at=func.now(),
        )
        .returning(webhook_delivery)
    )
    row = dict(conn.execute(claimed).mappings().one())
    endpoint = conn.execute(
        select(
            webhook_endpoint,
            (webhook_endpoint.c.previous_until > func.now()).label("rotating"),
        ).where(webhook_endpoint.c.id == endpoint_id)
    ).one()
    secrets = [endpoint.secret, *([endpoint.previous_secret] if endpoint.rotating else [])]
    return {**row, "url": endpoint.url, "secrets": secrets}


def record_attempt(
    conn: Connection,
    claimed: Mapping[str, Any],
    *,
    state: str,
    status: int | None,
    error: str | None,
    retry_in_s: float | None,
) -> None:
    """How a claimed try ended; nothing when the message was claimed or made due again meanwhile."""
    next_at = None if retry_in_s is None else func.now() + func.make_interval(0, 0, 0, 0, 0, 0, retry_in_s)
    conn.execute(
        update(webhook_delivery)
        .where(webhook_delivery.c.id == claimed["id"], webhook_delivery.c.attempt == claimed["attempt"])
        .values(
            state=state,
            last_status=status,
            last_error=error,
            next_at=next_at,
            delivered_at=func.now() if state == "delivered" else None,
        )
    )


def disable_gone(conn: Connection, endpoint_id: str) -> None:
    """The receiver answered 410: nothing more is sent to it until its owner enables it again."""
    conn.execute(
        update(webhook_endpoint)
        .where(webhook_endpoint.c.id == endpoint_id, webhook_endpoint.c.disabled_at.is_(None))
        .values(disabled_at=func.now(), disabled_reason="gone", updated_at=func.now())
    )


def forget_old(conn: Connection, *, keep_s: float) -> int:
    """Delete messages older than this, and endpoints that were deleted as long ago; returns how many messages."""
    oldest = func.now() - func.make_interval(0, 0, 0, 0, 0, 0, keep_s)
    done = conn.execute(delete(webhook_delivery).where(webhook_delivery.c.created_at < oldest))
    dead = select(webhook_endpoint.c.id).where(
        webhook_endpoint.c.deleted_at < oldest,
        ~exists().where(webhook_delivery.c.endpoint_id == webhook_endpoint.c.id),
    )
    conn.execute(delete(job_webhook).where(job_webhook.c.endpoint_id.in_(dead)))
    conn.execute(delete(webhook_endpoint).where(webhook_endpoint.c.id.in_(dead)))
    return done.rowcount


_due = (
    webhook_delivery.c.state == "pending",
    webhook_delivery.c.next_at <= func.now(),
    webhook_endpoint.c.disabled_at.is_(None),
    _live,
)


def _deliveries(tenant_id: str, endpoint_id: str) -> Any:
    return (
        select(webhook_delivery)
        .join(webhook_endpoint, webhook_endpoint.c.id == webhook_delivery.c.endpoint_id)
        .where(webhook_delivery.c.endpoint_id == endpoint_id, webhook_delivery.c.tenant_id == tenant_id, _live)
    )
