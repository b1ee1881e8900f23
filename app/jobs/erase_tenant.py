"""Erase a tenant with everything it has: `python -m app.jobs.erase_tenant NAME`, with DISTILLERY_DATABASE_URL set.

Its keys end at once and its jobs are cancelled. When the last of these has ended the dispatcher deletes every row, the
sweeper every file that nobody else has, too, and in the end the row of the tenant goes itself. What stays is one entry
of the audit log, that and by which key the tenant was erased.
"""

from __future__ import annotations

import sys

import structlog
from sqlalchemy import Connection, Table, create_engine, delete, exists, func, select, update

from app.jobs.cancel import cancel_job
from app.jobs.states import TERMINAL
from app.settings import DatabaseSettings
from app.store import audit
from app.store.tables import (
    api_key,
    artifact,
    dataset,
    dataset_version,
    idempotency_key,
    job,
    job_attempt,
    job_event,
    job_webhook,
    loose_bytes,
    report,
    summary,
    tenant,
    upload,
    webhook_delivery,
    webhook_endpoint,
)

log = structlog.get_logger()
# Those that refer to others come first.
_TABLES: tuple[Table, ...] = (
    *(job_webhook, webhook_delivery, webhook_endpoint, idempotency_key, report, summary, job_event),
    *(job_attempt, job, dataset_version, dataset, artifact, api_key),
)


def begin_erasure(conn: Connection, tenant_id: str, actor: str) -> None:
    """From here on nobody can ask in the tenant's name, nothing is worked on, and its name is free for another.

    `actor`: the key that asked for it, or `audit.OPERATOR`; the entry of it is all that will be left.
    """
    mine = tenant.c.id == tenant_id
    conn.execute(select(tenant.c.id).where(mine).with_for_update(key_share=True))
    audit.record(conn, tenant_id, actor, audit.ERASURE, tenant_id)
    erased = {"name": func.concat("erased ", tenant.c.id), "erasing_at": func.coalesce(tenant.c.erasing_at, func.now())}
    conn.execute(update(tenant).where(mine).values(erased))
    conn.execute(
        update(api_key).where(api_key.c.tenant_id == tenant_id, api_key.c.revoked_at.is_(None)).values(
            revoked_at=func.now()
        )
    )  # fmt: skip
    conn.execute(update(upload).where(upload.c.tenant_id == tenant_id).values(expires_at=func.now()))
    conn.execute(delete(webhook_delivery).where(webhook_delivery.c.tenant_id == tenant_id))
    conn.execute(delete(job_webhook).where(job_webhook.c.tenant_id == tenant_id))
    conn.execute(delete(webhook_endpoint).where(webhook_endpoint.c.tenant_id == tenant_id))
    for job_id in conn.scalars(select(job.c.id).where(job.c.tenant_id == tenant_id, job.c.state.not_in(TERMINAL))):
        cancel_job(conn, tenant_id, job_id)


def erase_tenants(conn: Connection) -> int:
    """Go on with every erasure that has begun, as far as possible now; returns how many tenants are no more.

    A tenant's row goes last, when none of its files lies on the disk any more, or others have them, too.
    """
    working = exists().where(job.c.tenant_id == tenant.c.id, job.c.state.not_in(TERMINAL))
    staged = exists().where(upload.c.tenant_id == tenant.c.id)  # they go as all that have expired, with their bytes
    due = select(tenant.c.id).where(tenant.c.erasing_at.is_not(None), ~working, ~staged)
    gone = 0
    for tenant_id in conn.scalars(due).all():
        for table in _TABLES:
            conn.execute(delete(table).where(table.c.tenant_id == tenant_id))
        on_disk = exists().where(loose_bytes.c.tenant_id == tenant_id)
        gone += conn.execute(delete(tenant).where(tenant.c.id == tenant_id, ~on_disk)).rowcount
        audit.forget_tenant(conn, tenant_id)
    return gone


def main() -> None:
    """Begin to erase the tenant of this name."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m app.jobs.erase_tenant NAME")
    settings = DatabaseSettings()  # pyright: ignore[reportCallIssue] - filled from the environment
    engine = create_engine(settings.database_url)
    try:
        with engine.begin() as conn:
            tenant_id = conn.scalar(select(tenant.c.id).where(tenant.c.name == sys.argv[1]))
            if tenant_id is None:
                sys.exit(f"There is no tenant {sys.argv[1]!r}.")
            begin_erasure(conn, tenant_id, audit.OPERATOR)
    finally:
        engine.dispose()
    sys.stdout.write(
        f"{tenant_id}: its keys are revoked and its jobs cancelled. The dispatcher deletes rows when the last job has "
        "ended, and files when they are as old as DISTILLERY_BLOB_GRACE_S.\n"
    )


if __name__ == "__main__":
    main()
