"""/v1/api-keys and /v1/me."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.api.answers import answer
from app.api.documented import refusals
from app.api.problems import Problem
from app.api.schemas.accounts import Erasure, KeyCreate, KeyCreated, KeyList, KeyView, Me
from app.api.security import Admin, Anyone
from app.api.transactions import TransactionRoute
from app.jobs.erase_tenant import begin_erasure
from app.store import api_keys as store

router = APIRouter(prefix="/v1", tags=["account"], route_class=TransactionRoute)


@router.post(
    "/api-keys",
    status_code=201,
    response_model=KeyCreated,
    responses=refusals("quota_exceeded"),
    summary="Create an API key",
)
def create_api_key(caller: Admin, body: KeyCreate) -> Response:
    """A key of the caller's own tenant. Its token is in this answer and nowhere else.

    It falls with the key that makes it: it is revoked with it, and expires no later.
    """
    limit = caller.services.settings.key_limit
    if store.count_keys(caller.conn, caller.tenant_id) >= limit:
        raise Problem(
            "quota_exceeded",
            f"At most {limit} keys may exist.",
            hint="Revoke some; revoked and expired keys count until they are forgotten, a week later by default.",
        )
    scopes = sorted(set(body.scopes))
    row, token = store.create_key(
        caller.conn, caller.tenant_id, body.name, scopes, body.expires_at, made_by=caller.identity.key_id
    )
    caller.note("api_key.create", row["id"])
    created = KeyCreated(token=token, **row)
    return answer(created, status=201, headers={"Cache-Control": "no-store"})


@router.get("/api-keys", response_model=KeyList, responses=refusals(), summary="List API keys")
def list_api_keys(caller: Admin) -> KeyList:
    """Every key of the tenant, newest first, without secrets."""
    rows = store.list_keys(caller.conn, caller.tenant_id)
    return KeyList(items=[KeyView(**row) for row in rows], next_page_token="")


@router.delete(
    "/api-keys/{key_id}",
    status_code=204,
    responses=refusals("not_found", "last_admin_key"),
    summary="Revoke an API key",
)
def revoke_api_key(
    caller: Admin,
    key_id: str,
    keep_made: Annotated[bool, Query(description="Keys that it made stay; for when it is replaced.")] = False,
    force: Annotated[bool, Query(description="Even if no key with the scope admin is left.")] = False,
) -> Response:
    """Make a key useless from now on, with those that it made, and those that these made.

    Streams that it opened end within 15 s.
    """
    try:
        revoked = store.revoke_key(caller.conn, caller.tenant_id, key_id, keep_made=keep_made, even_last=force)
    except store.LastAdminKey:
        raise Problem("last_admin_key") from None
    if not revoked:
        raise Problem("not_found", f"There is no live key {key_id}.")
    caller.note("api_key.revoke", *revoked)
    return Response(status_code=204)


@router.delete(
    "/tenant",
    status_code=202,
    response_model=Erasure,
    responses=refusals("invalid_request"),
    summary="Erase the tenant",
)
def erase_tenant(
    caller: Admin, confirm: Annotated[str, Query(description="The tenant's id, as GET /v1/me tells it.")]
) -> Response:
    """Erase the tenant with everything it has; nothing brings it back.

    Its keys end at once, this one too, and its jobs are cancelled. Rows go when the last of them has ended, files when
    the service sweeps next what nothing refers to. One entry of the audit log stays: when, and by which key.
    """
    if confirm != caller.tenant_id:
        raise Problem(
            "invalid_request",
            f"{confirm[:80]} is not the tenant of this key.",
            hint=f"To erase the tenant of this key, say confirm={caller.tenant_id}.",
            pointer="confirm",
        )
    begin_erasure(caller.conn, caller.tenant_id, caller.identity.key_id)
    return answer(Erasure(tenant_id=caller.tenant_id), status=202)


@router.get("/me", response_model=Me, responses=refusals(), summary="Who am I")
def get_me(caller: Anyone) -> Me:
    """The key that asks, its tenant and its scopes."""
    who = caller.identity
    return Me(key_id=who.key_id, tenant_id=who.tenant_id, name=who.name, scopes=sorted(who.scopes))
