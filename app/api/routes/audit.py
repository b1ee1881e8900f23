"""/v1/audit: who did what, for admins; as pages, and as one stream of all of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BeforeValidator
from sqlalchemy import Connection
from starlette.responses import Response, StreamingResponse

from app.api.documented import refusals
from app.api.filters import text_of, written_out
from app.api.pagination import Page, Pager
from app.api.schemas.audit import AuditEntry, AuditList
from app.api.security import Admin, Asking, calling
from app.api.services import Services
from app.api.transactions import TransactionRoute
from app.store.api_keys import is_live
from app.store.audit import Wanted, list_entries, record_reading

router = APIRouter(prefix="/v1/audit", tags=["account"], route_class=TransactionRoute)
_BATCH = 1000
_LINES = "application/x-ndjson"
Time = Annotated[AwareDatetime, BeforeValidator(written_out)] | None
After = Annotated[Time, Query(description="Only what came later, as 2026-01-05T09:30:00Z.")]
Before = Annotated[Time, Query(description="Only what came earlier.")]
Actor = Annotated[str | None, Query(max_length=100, description="Only what this API key did, or `operator`.")]
Act = Annotated[str | None, Query(max_length=100, description="Only this act, such as `dataset.delete`.")]


@router.get("", response_model=AuditList, responses=refusals(), summary="List the audit log")
def list_audit(
    caller: Admin, page: Page, after: After = None, before: Before = None, actor: Actor = None, act: Act = None
) -> AuditList:
    """What the tenant's keys created, changed, downloaded, revoked, deleted and were refused, newest first."""
    filters = {"after": text_of(after), "before": text_of(before), "actor": actor, "act": act}
    pager = Pager.of(page, caller.services.settings.secret, caller.tenant_id, "audit", **filters)
    wanted = Wanted(actor, act, after, before)
    rows = list_entries(caller.conn, caller.tenant_id, wanted, beyond=pager.after_row(), limit=pager.limit)
    return AuditList.model_validate(pager.answer(rows, AuditEntry.model_validate, keys=("at", "id")))


@router.get(
    "/export",
    response_class=Response,
    responses={
        200: {"description": "One entry a line.", "content": {_LINES: {"schema": {"type": "string"}, "example": "{}"}}},
        **refusals(),
    },
    summary="Export the audit log",
)
async def export_audit(
    asking: Annotated[Asking, calling("admin")],
    after: After = None,
    before: Before = None,
    actor: Actor = None,
    act: Act = None,
) -> Response:
    """All entries, oldest first, as JSON lines. The connection is cut when the key ends meanwhile."""
    await asking.need_admin()

    def admit(conn: Connection) -> tuple[str, str]:
        caller = asking.on(conn)
        record_reading(conn, caller.tenant_id, caller.identity.key_id, "audit.export", caller.tenant_id)
        return caller.tenant_id, caller.identity.key_id

    tenant_id, key_id = await asking.services.in_transaction(admit)
    lines = _lines(asking.services, tenant_id, key_id, Wanted(actor, act, after, before))
    headers = {"Cache-Control": "no-store", "Content-Disposition": "attachment; filename=audit.ndjson"}
    return StreamingResponse(lines, headers=headers, media_type=_LINES)


async def _lines(services: Services, tenant_id: str, key_id: str, wanted: Wanted) -> AsyncIterator[bytes]:
    """Batch by batch, so that no connection to the database is held while the client reads."""
    beyond = None

    def read(conn: Connection) -> list[dict[str, Any]]:
        if not is_live(conn, key_id):
            raise PermissionError("the key has ended")
        return list_entries(conn, tenant_id, wanted, beyond=beyond, limit=_BATCH, oldest_first=True)

    while rows := await services.reading(read):
        yield b"".join(AuditEntry.model_validate(row).model_dump_json().encode() + b"\n" for row in rows)
        beyond = rows[-1]["at"], rows[-1]["id"]
