"""Who asks: the API key behind a request, its scopes, and the transaction the request lives in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

import anyio
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from app.api.problems import Problem
from app.api.services import Services, services_of
from app.store.api_keys import Identity, identify, touch

_bearer = HTTPBearer(auto_error=False, description="An API key, `dsk_<id>_<secret>`.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


@dataclass(frozen=True)
class Caller:
    """Who asks, and the transaction their request lives in. It commits before the answer is sent."""

    conn: Connection
    identity: Identity
    services: Services

    @property
    def tenant_id(self) -> str:
        """Whose data the request may see."""
        return self.identity.tenant_id


def calling(*scopes: str) -> Callable[[Request, Credentials], AsyncIterator[Caller]]:
    """A dependency for routes in the thread pool; use it with `scope="function"`, else the commit comes too late."""

    async def caller(request: Request, credentials: Credentials) -> AsyncIterator[Caller]:
        services = services_of(request)

        def begin() -> Caller:
            conn = services.engine.connect()
            try:
                return Caller(conn, authorised(conn, services, credentials, scopes), services)
            except BaseException:
                conn.close()
                raise

        async with services.gate:
            made = await run_in_threadpool(begin)
            request.scope["distillery.tenant"] = made.tenant_id  # for the log
            try:
                yield made
                await run_in_threadpool(made.conn.commit)
            finally:
                with anyio.CancelScope(shield=True):
                    await run_in_threadpool(made.conn.close)  # rolls back what was not committed

    return caller


def identified(*scopes: str) -> Callable[[Request, Credentials], Awaitable[Identity]]:
    """A dependency for streaming routes: who asks, without holding a database connection."""

    async def identity(request: Request, credentials: Credentials) -> Identity:
        services = services_of(request)
        found = await services.in_transaction(lambda conn: authorised(conn, services, credentials, scopes))
        request.scope["distillery.tenant"] = found.tenant_id  # for the log
        return found

    return identity


def authorised(
    conn: Connection,
    services: Services,
    credentials: HTTPAuthorizationCredentials | None,
    scopes: tuple[str, ...],
) -> Identity:
    """Who asks; refused without a valid key or a scope. For routes that open transactions of their own."""
    # A NUL cannot be part of any key, and Postgres refuses to compare with one.
    token = credentials.credentials if credentials else ""
    identity = identify(conn, token) if token and token.isascii() and token.isprintable() else None
    if identity is None:
        raise Problem("unauthenticated", headers={"WWW-Authenticate": "Bearer"})
    if missing := [scope for scope in scopes if scope not in identity.scopes]:
        raise Problem(
            "forbidden",
            f"This API key lacks the scope {missing[0]}.",
            hint=f"Ask for a key with {', '.join(scopes)}.",
            headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{" ".join(scopes)}"'},
        )
    if services.due_for_touch(identity.key_id):
        touch(conn, identity.key_id)
    return identity


DatasetReader = Annotated[Caller, Depends(calling("datasets:read"), scope="function")]
DatasetWriter = Annotated[Caller, Depends(calling("datasets:write"), scope="function")]
JobReader = Annotated[Caller, Depends(calling("jobs:read"), scope="function")]
JobWriter = Annotated[Caller, Depends(calling("jobs:write"), scope="function")]
SummaryReader = Annotated[Caller, Depends(calling("summaries:read"), scope="function")]
WebhookWriter = Annotated[Caller, Depends(calling("webhooks:write"), scope="function")]
Admin = Annotated[Caller, Depends(calling("admin"), scope="function")]
Anyone = Annotated[Caller, Depends(calling(), scope="function")]
