"""Bodies on their way into the store: their room is taken before their bytes lie on the disk."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from app.api.services import Services
from app.jobs.quotas import hold_blob, hold_room
from app.store.blobs import StoredBlob
from app.store.ids import new_id
from app.store.loose_bytes import let_go
from app.store.quotas import Quota

_HOLD_S = 3600.0  # what a process that was killed has held counts no longer than this
_RENEW_S = 600.0


@dataclass
class Arrival:
    """The room of one body. A transaction for each batch of a body of unknown length, one in all for the others."""

    services: Services
    tenant_id: str
    name: str = field(default_factory=lambda: new_id("up"))
    held: int = 0
    renewed: float = field(default_factory=time.monotonic)

    def begin(self, conn: Connection, declared: int) -> None:
        """Take the room of as many bytes as the body is said to have; refused when they do not fit."""
        hold_room(conn, self.tenant_id, self._quota, {self.name: declared}, _HOLD_S)
        self.held = declared

    async def need(self, size: int) -> None:
        """Before the body has grown to `size` bytes on the disk."""
        now = time.monotonic()
        if size <= self.held and now - self.renewed < _RENEW_S:
            return
        wanted = max(size, self.held)
        await self.services.in_transaction(
            lambda conn: hold_room(conn, self.tenant_id, self._quota, {self.name: wanted}, _HOLD_S)
        )
        self.held, self.renewed = wanted, now

    async def becomes(self, stored: StoredBlob) -> None:
        """Before the body is made this blob."""
        await self.services.in_transaction(lambda conn: hold_blob(conn, self.tenant_id, self._quota, stored, self.name))

    @property
    def _quota(self) -> Quota:
        return Quota.of(self.services.settings)


@asynccontextmanager
async def arriving(
    services: Services, tenant_id: str, begin: Callable[[Connection, Arrival], None]
) -> AsyncGenerator[Arrival]:
    """A body whose room is given back when it does not become a blob. `begin`: the transaction that admits it."""
    arrival = Arrival(services, tenant_id)
    await services.in_transaction(lambda conn: begin(conn, arrival))
    try:
        yield arrival
    except BaseException:
        with anyio.CancelScope(shield=True), contextlib.suppress(SQLAlchemyError):  # else it ends with its time
            await services.in_transaction(lambda conn: let_go(conn, tenant_id, arrival.name))
        raise
