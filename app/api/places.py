"""How many requests are worked on at once, and whose: one that asks with many connections waits for itself.

There are no more visits to the database than connections, so that no thread ever waits for one. A tenant has a share
of them, whichever of its keys ask; its further requests wait in a line of their own, and free places go to the lines in
turn.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar

WHO: ContextVar[str] = ContextVar("who", default="")
"""Whose request is answered: a tenant; an address that sent no valid key; for what belongs to no tenant, its path."""


class Places:
    """`count` visits at once, and `share` of one who asks. Used on one event loop."""

    def __init__(self, count: int, share: int) -> None:
        self._free = count
        self._share = share
        self._inside: Counter[str] = Counter()
        self._lines: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def visit(self) -> AsyncGenerator[None]:
        """Wait for a place, and have it for as long as the block runs."""
        who = WHO.get()
        await self._enter(who)
        try:
            yield
        finally:
            self._leave(who)

    async def _enter(self, who: str) -> None:
        if self._free and self._may(who) and who not in self._lines:
            self._take(who)
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(who, deque()).append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():  # it had just been given a place
                self._leave(who)
            raise

    def _leave(self, who: str) -> None:
        self._free += 1
        self._inside[who] -= 1
        if not self._inside[who]:
            del self._inside[who]
        self._admit()

    def _admit(self) -> None:
        for who in list(self._lines):
            if not self._free:
                return
            line = self._lines[who]
            while line and line[0].done():  # who waited there has gone
                line.popleft()
            if line and self._may(who):
                self._take(who)
                line.popleft().set_result(None)
                self._lines.move_to_end(who)
            if not line:
                del self._lines[who]

    def _may(self, who: str) -> bool:
        return self._inside[who] < self._share

    def _take(self, who: str) -> None:
        self._free -= 1
        self._inside[who] += 1
