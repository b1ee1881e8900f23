"""Who asks: the API key behind a request, its scopes, and the transaction the request lives in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

import anyio
from fastapi import Depends, Request
from fastapi.params import Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Connection
from starlette.concurrency import run_in_threadpool

from app.api.problems import Problem
from app.api.services import Services, services_of
from app.store.api_keys import Identity, identify, touch

_bearer = HTTPBearer(auto_error=False, description="An API key, `dsk_<id>_<secret>`.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


def bearing(*scopes: str) -> Security:
    """The credentials alone, of a route that itself asks `authorised` for these scopes."""
    return Security(_bearer, scopes=scopes)


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


def calling(*scopes: str) -> Security:
    """A dependency for routes in the thread pool. It ends with the function, so that the commit precedes the answer."""

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

    return Security(caller, scope="function", scopes=scopes)


def identified(*scopes: str) -> Security:
    """A dependency for streaming routes: who asks, without holding a database connection."""

    async def identity(request: Request, credentials: Credentials) -> Identity:
        return await identify_caller(request, credentials, *scopes)

    return Security(identity, scopes=scopes)


async def identify_caller(request: Request, credentials: HTTPAuthorizationCredentials | None, *scopes: str) -> Identity:
    """Who asks, in a transaction of its own; refused without a valid key or a scope."""
    services = services_of(request)
    found = await services.in_transaction(lambda conn: authorised(conn, services, credentials, scopes))
    request.scope["distillery.tenant"] = found.tenant_id  # for the log
    return found


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


DatasetReader = Annotated[Caller, calling("datasets:read")]
DatasetWriter = Annotated[Caller, calling("datasets:write")]
JobReader = Annotated[Caller, calling("jobs:read")]
JobWriter = Annotated[Caller, calling("jobs:write")]
SummaryReader = Annotated[Caller, calling("summaries:read")]
WebhookWriter = Annotated[Caller, calling("webhooks:write")]
Admin = Annotated[Caller, calling("admin")]
Anyone = Annotated[Caller, calling()]
