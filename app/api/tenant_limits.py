"""What one tenant may take of this process: requests a second, and requests open at once (`app.api.room`).

Everything here belongs to the tenant and not to its keys, however many it has. Headers are those of
draft-ietf-httpapi-ratelimit-headers-08.
"""

from __future__ import annotations

import asyncio
import math
from typing import Protocol

from fastapi.security.utils import get_authorization_scheme_param
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.places import WHO
from app.api.problems import Problem
from app.api.services import Services
from app.api.sessions import signed_in
from app.api.token_buckets import Taken
from app.store.api_keys import identify, identity_of

_OF_TENANTS = ("/v1/", "/ui")
_REFUSED_AFTER_S = 0.5  # less than any Retry-After; whoever ignores that one is no burden either


class Buckets(Protocol):
    """Where tokens are taken from."""

    async def take(self, name: str) -> Taken:
        """One token of the bucket of this name."""
        ...


class TenantLimits:
    """Finds out whose key a request carries, and counts the request for that tenant.

    Only a valid key is charged: nobody empties another's bucket by guessing the id of a key, nor with one that was
    revoked. What carries no valid key counts for its address, has no bucket, and is answered as one of a crowd.
    `buckets` None: any number of requests a second.
    """

    def __init__(self, app: ASGIApp, buckets: Buckets | None, per_s: float, burst: int) -> None:
        self.app = app
        self.buckets = buckets
        self.per_s = per_s
        self.burst = burst
        self.policy = f'"tenant";q={burst};w={math.ceil(burst / per_s)}'.encode() if per_s else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http" or not scope["path"].startswith(_OF_TENANTS):
            WHO.set(scope.get("path", ""))  # so /readyz waits for itself only
            await self.app(scope, receive, send)
            return
        services: Services = scope["app"].state.services
        WHO.set(f"address {(scope.get('client') or ('',))[0]}")
        tenant_id = await _tenant_of(services, scope)
        if tenant_id is not None:
            WHO.set(tenant_id)
            scope["distillery.tenant"] = tenant_id  # for the log
        with services.requests.entered():
            if self.buckets is not None and tenant_id is not None:
                send = await self._charged(self.buckets, tenant_id, send)
            await self.app(scope, receive, send)

    async def _charged(self, buckets: Buckets, tenant_id: str, send: Send) -> Send:
        """Take a token; the answer then says how many are left. 429 when there is none."""
        taken = await buckets.take(tenant_id)
        full_in = math.ceil((self.burst - taken.left) / self.per_s)
        limit = f'"tenant";r={math.floor(taken.left)};t={full_in}'.encode()
        if not taken.granted:
            await asyncio.sleep(_REFUSED_AFTER_S)
            after = max(1, math.ceil((1 - taken.left) / self.per_s))
            headers = {"RateLimit-Policy": self.policy.decode(), "RateLimit": limit.decode()}
            raise Problem(
                "rate_limited",
                f"The keys of a tenant may ask {self.per_s:g} times a second, {self.burst} times at once.",
                headers={"Retry-After": str(after), **headers},
            )

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(b"ratelimit-policy", self.policy), (b"ratelimit", limit)]
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        return sending


async def _tenant_of(services: Services, scope: Scope) -> str | None:
    """Whose key it is; looked for in the database only when this process has not seen it just before."""
    given = next((value for name, value in scope["headers"] if name == b"authorization"), b"").decode("latin-1")
    scheme, token = get_authorization_scheme_param(given)
    session_of = None if given else signed_in(scope)
    if session_of is not None:
        token = f"session {session_of}"
    elif scheme.lower() != "bearer" or not token:
        return None
    if (known := services.keys.tenant_of(token)) is not None:
        return known
    identity = await services.reading(
        lambda conn: identify(conn, token) if session_of is None else identity_of(conn, session_of)
    )
    if identity is None:
        return None
    services.keys.remember(token, identity.tenant_id)
    return identity.tenant_id
