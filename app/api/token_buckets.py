"""Token buckets: shared ones in Redis, and ones of this process for when Redis is away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

_SCRIPT = Path(__file__).with_name("token_bucket.lua")
_ANSWER_S = 0.2
_AGAIN_S = 5.0
_CONNECTIONS = 16
_MOST_LOCAL = 10_000
log = logging.getLogger(__name__)


class Taken(NamedTuple):
    """Whether a token was granted, and how many are left."""

    granted: bool
    left: float


class LocalBuckets:
    """The buckets of one process; those not used for longest are forgotten, which fills them."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._kept: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str) -> Taken:
        """One token."""
        now = time.monotonic()
        tokens, at = self._kept.pop(name, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - at) * self._per_s)
        granted = tokens >= 1
        self._kept[name] = (tokens - granted, now)
        if len(self._kept) > _MOST_LOCAL:
            self._kept.popitem(last=False)
        return Taken(granted, tokens - granted)


class SharedBuckets:
    """Buckets in Redis. It is never waited for longer than 0.2 s: then each process limits by itself, and Redis is
    asked again, not by a request, after 5 s."""

    def __init__(self, url: str, per_s: float, burst: int) -> None:
        self._url = url.replace("redis+socket://", "unix://", 1)
        self._per_s = per_s
        self._burst = burst
        self._local = LocalBuckets(per_s, burst)
        self._source = _SCRIPT.read_text()
        self._script: Any = None
        self._client: Any = None
        self._connecting: asyncio.Task[None] | None = None
        self._again_at = 0.0

    async def take(self, name: str) -> Taken:
        """One token, from Redis if it answers."""
        if self._script is None:
            self._connect_in_background()
            return self._local.take(name)
        try:
            async with asyncio.timeout(_ANSWER_S):
                granted, left = await self._script(
                    keys=[f"distillery:rate:{name}"], args=[self._per_s, self._burst], client=self._client
                )
        except Exception as error:  # whatever is wrong with Redis must not become a request's problem
            self._give_up(error)
            return self._local.take(name)
        return Taken(bool(granted), float(left))

    async def close(self) -> None:
        """Give the connections back."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        await self._drop()

    def _give_up(self, error: Exception) -> None:
        if self._script is not None:
            log.warning("rate limits without Redis: %s", type(error).__name__)
        self._script = None
        self._again_at = time.monotonic() + _AGAIN_S

    def _connect_in_background(self) -> None:
        if time.monotonic() >= self._again_at and (self._connecting is None or self._connecting.done()):
            self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await self._drop()
            # Imported by the first who needs it, in a thread: it takes longer than many a process has to start.
            redis = await asyncio.to_thread(_redis)
            # A crowd of requests waits for a connection: one each would cost Redis more than a token does.
            pool = redis.BlockingConnectionPool.from_url(
                self._url, socket_connect_timeout=_ANSWER_S, socket_timeout=_ANSWER_S, max_connections=_CONNECTIONS
            )
            self._client = client = redis.Redis.from_pool(pool)
            async with asyncio.timeout(10 * _ANSWER_S):
                await client.ping()
            self._script = client.register_script(self._source)
        except Exception as error:
            self._give_up(error)

    async def _drop(self) -> None:
        client, self._client, self._script = self._client, None, None
        if client is not None:
            await client.aclose()


def _redis() -> Any:
    import redis.asyncio

    return redis.asyncio
