"""So many requests a second of one API key (headers of draft-ietf-httpapi-ratelimit-headers-08)."""

from __future__ import annotations

import hashlib
import math
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import Problem
from app.api.token_buckets import Taken


class Buckets(Protocol):
    """Where tokens are taken from."""

    async def take(self, name: str) -> Taken:
        """One token of the bucket of this name."""
        ...


class RateLimits:
    """Takes a token for each request that carries a key; the answer says how many are left, 429 that none was.

    The bucket belongs to the whole key, secret included, so that nobody can empty another's by guessing its id.
    """

    def __init__(self, app: ASGIApp, buckets: Buckets, per_s: float, burst: int) -> None:
        self.app = app
        self.buckets = buckets
        self.per_s = per_s
        self.burst = burst
        self.policy = f'"key";q={burst};w={math.ceil(burst / per_s)}'.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        key = _key_of(scope) if scope["type"] == "http" else b""
        if not key:
            await self.app(scope, receive, send)
            return
        taken = await self.buckets.take(hashlib.sha256(key).hexdigest()[:32])
        full_in = math.ceil((self.burst - taken.left) / self.per_s)
        limit = f'"key";r={math.floor(taken.left)};t={full_in}'.encode()

        if not taken.granted:
            after = max(1, math.ceil((1 - taken.left) / self.per_s))
            headers = {"RateLimit-Policy": self.policy.decode(), "RateLimit": limit.decode()}
            raise Problem(
                "rate_limited",
                f"This key may ask {self.per_s:g} times a second, {self.burst} times at once.",
                headers={"Retry-After": str(after), **headers},
            )

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(b"ratelimit-policy", self.policy), (b"ratelimit", limit)]
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        await self.app(scope, receive, sending)


def _key_of(scope: Scope) -> bytes:
    for name, value in scope["headers"]:
        if name == b"authorization":
            return value
    return b""
