"""/v1/usage: what the tenant uses, and what it may."""

from __future__ import annotations

from fastapi import APIRouter

from app.api.documented import refusals
from app.api.schemas.usage import Amount, Usage
from app.api.security import Anyone
from app.api.transactions import TransactionRoute
from app.store.quotas import Quota, gpu_seconds_of, queued_jobs_of, quota_of, stored_bytes_of

router = APIRouter(prefix="/v1", tags=["account"], route_class=TransactionRoute)


@router.get("/usage", response_model=Usage, responses=refusals(), summary="What I use and may use")
def get_usage(caller: Anyone) -> Usage:
    """Stored bytes (with the room that unfinished uploads take), waiting jobs, and GPU-seconds of the last 24 h."""
    conn, tenant_id, settings = caller.conn, caller.tenant_id, caller.services.settings
    quota = quota_of(conn, tenant_id, Quota.of(settings))
    return Usage(
        stored_bytes=Amount(used=stored_bytes_of(conn, tenant_id), limit=quota.stored_bytes or None),
        queued_jobs=Amount(used=queued_jobs_of(conn, tenant_id), limit=quota.queued_jobs or None),
        gpu_s_per_day=Amount(used=round(gpu_seconds_of(conn, tenant_id), 1), limit=quota.gpu_s_per_day or None),
        requests_per_s=settings.rate_limit_per_s or None,
    )
