"""Who asks: the API key behind a request, its scopes, and the transaction the request lives in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.params import Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Connection

from app.api.metrics import route_template
from app.api.problems import Problem
from app.api.services import Services, services_of
from app.api.sessions import signed_in
from app.store import audit
from app.store.api_keys import Identity, identify, identity_of, touch

bearer = HTTPBearer(auto_error=False, description="An API key, `dsk_<id>_<secret>`.")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]


@dataclass(frozen=True)
class Caller:
    """Who asks, and the transaction their request lives in (see `app.api.transactions`)."""

    conn: Connection
    identity: Identity
    services: Services

    @property
    def tenant_id(self) -> str:
        """Whose data the request may see."""
        return self.identity.tenant_id

    def note(self, act: str, *objects: str) -> None:
        """Note in the audit log, with what this transaction does, that the caller did this to each of these things."""
        audit.record(self.conn, self.tenant_id, self.identity.key_id, act, *objects)


@dataclass(frozen=True)
class Asking:
    """A request that has not been looked into yet. `reads`: it changes nothing, so it needs no transaction."""

    request: Request
    credentials: HTTPAuthorizationCredentials | None
    scopes: tuple[str, ...]
    reads: bool

    @property
    def services(self) -> Services:
        """Of the process that answers."""
        return services_of(self.request)

    def on(self, conn: Connection) -> Caller:
        """Who asks, on this connection; refused without a valid key or a scope."""
        return Caller(conn, _authorised(conn, self), self.services)

    async def need_admin(self) -> None:
        """Refuse a caller without a scope of `scopes`, one of which is admin; that they tried is noted."""

        def look(conn: Connection) -> Problem | None:
            try:
                self.on(conn)
            except Problem as refused:
                return refused  # instead of raising it, which would take the note back

        if (refused := await self.services.in_transaction(look)) is not None:
            raise refused


def calling(*scopes: str, reads: bool = False) -> Security:
    """A dependency of routes in `app.api.transactions`: they make a `Caller` of it in their thread."""

    async def asking(request: Request, credentials: Credentials) -> Asking:
        return Asking(request, credentials, scopes, reads)

    return Security(asking, scopes=scopes)


def identified(*scopes: str) -> Security:
    """A dependency for streaming routes: who asks, without holding a database connection."""

    async def identity(request: Request, credentials: Credentials) -> Identity:
        return await identify_caller(request, credentials, *scopes)

    return Security(identity, scopes=scopes)


async def identify_caller(request: Request, credentials: HTTPAuthorizationCredentials | None, *scopes: str) -> Identity:
    """Who asks; refused without a valid key or a scope. No connection is held afterwards."""
    return (await services_of(request).reading(Asking(request, credentials, scopes, reads=True).on)).identity


def _authorised(conn: Connection, asking: Asking) -> Identity:
    services, scopes = asking.services, asking.scopes
    token = asking.credentials.credentials if asking.credentials else ""
    session_of = None if asking.credentials else signed_in(asking.request.scope)
    identity = identity_of(conn, session_of) if session_of else identify(conn, token)
    if identity is None:
        services.keys.forget(token or f"session {session_of}")
        raise Problem("unauthenticated", headers={"WWW-Authenticate": "Bearer"})
    if missing := [scope for scope in scopes if scope not in identity.scopes]:
        if "admin" in missing:
            route = f"{asking.request.method} {route_template(asking.request.scope)}"
            audit.record_reading(conn, identity.tenant_id, identity.key_id, "admin.refused", route)
        raise Problem(
            "forbidden",
            f"This API key lacks the scope {missing[0]}.",
            hint=f"Ask for a key with {', '.join(scopes)}.",
            headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{" ".join(scopes)}"'},
        )
    if services.due_for_touch(identity.key_id):
        touch(conn, identity.key_id)
    return identity


DatasetReader = Annotated[Caller, calling("datasets:read", reads=True)]
DatasetWriter = Annotated[Caller, calling("datasets:write")]
JobReader = Annotated[Caller, calling("jobs:read", reads=True)]
JobWriter = Annotated[Caller, calling("jobs:write")]
SummaryReader = Annotated[Caller, calling("summaries:read", reads=True)]
WebhookWriter = Annotated[Caller, calling("webhooks:write")]
Admin = Annotated[Caller, calling("admin")]
Anyone = Annotated[Caller, calling(reads=True)]
