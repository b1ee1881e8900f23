"""Send the messages that are due. Runs in the dispatcher; any number may run, as no message is claimed twice.

No database connection is held while a receiver is waited for: a try is claimed in one transaction and its end is
recorded in another. Messages of one endpoint are sent one after the other, those of different endpoints side by side.
No tenant gets more than a quarter of the slots, nor do all receivers together that failed lately, and those are waited
for less long: whoever does not answer holds up nobody else.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app.outbound.request import TOTAL_S, OutboundError, post
from app.outbound.ssrf import Resolver, Rules, Unresolvable, UnsafeTarget
from app.settings import Settings
from app.store import webhooks as store
from app.webhooks.retry import delay_after
from app.webhooks.sign import signed_headers

LEASE_S = 4 * TOTAL_S
PATIENCE_S = 5.0  # with a receiver that failed the last time
IN_A_ROW = 20  # messages to one endpoint before others get the slot
GONE = 410
log = structlog.get_logger()


class Result(NamedTuple):
    """How a try ended: the status of the answer, or the word for why there was none."""

    status: int | None
    error: str | None

    @property
    def delivered(self) -> bool:
        """Whether the receiver took the message."""
        return self.status is not None and 200 <= self.status < 300


class Deliverer:
    """Serves due endpoints in `slots` threads."""

    def __init__(
        self,
        engine: Engine,
        rules: Rules,
        *,
        slots: int = 8,
        total_s: float = TOTAL_S,
        resolver: Resolver | None = None,
    ) -> None:
        self.engine = engine
        self.rules = rules
        self.slots = slots
        self.total_s = total_s
        self.resolver = resolver
        self._busy: dict[str, store.DueEndpoint] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, settings: Settings, engine: Engine) -> Deliverer:
        """As the settings say."""
        return cls(engine, Rules.of(settings), slots=settings.webhook_slots)

    def round(self) -> int:
        """Give every free slot an endpoint with a message due; returns how many. Does not wait for them."""
        with self._lock:
            busy = dict(self._busy)
        if len(busy) >= self.slots:
            return 0
        share = max(1, self.slots // 4)
        load = Counter(one.tenant_id for one in busy.values())
        failing = sum(one.failing for one in busy.values())
        full = [tenant_id for tenant_id, count in load.items() if count >= share]
        with self.engine.begin() as conn:
            found = store.due_endpoints(conn, busy=busy, full_tenants=full)
        started = 0
        for due in sorted(found, key=lambda due: load[due.tenant_id]):  # otherwise the longest waiting first
            if len(busy) + started >= self.slots or load[due.tenant_id] >= share or (due.failing and failing >= share):
                continue
            load[due.tenant_id] += 1
            failing += due.failing
            started += 1
            with self._lock:
                self._busy[due.id] = due
            # Daemons: a dispatcher that stops does not wait for receivers; what it was sending is sent again.
            threading.Thread(target=self._serve, args=(due,), name="webhook", daemon=True).start()
        return started

    def deliver_next(self, endpoint_id: str, *, failing: bool = False) -> Result | None:
        """Send the endpoint's next due message; None when there is none. `failing`: it did not take the last one."""
        with self.engine.begin() as conn:
            claimed = store.claim_delivery(conn, endpoint_id, LEASE_S)
        if claimed is None:
            return None
        result = self._send(claimed, min(self.total_s, PATIENCE_S) if failing else self.total_s)
        retry_in_s = None if result.delivered or result.status == GONE else delay_after(claimed["attempt"])
        state = "delivered" if result.delivered else "failed" if retry_in_s is None else "pending"
        with self.engine.begin() as conn:
            store.record_attempt(
                conn, claimed, state=state, status=result.status, error=result.error, retry_in_s=retry_in_s
            )
            if result.status == GONE:
                store.disable_gone(conn, endpoint_id)
        log.info(
            "webhook_sent",
            delivery=claimed["id"],
            endpoint=endpoint_id,
            tenant=claimed["tenant_id"],
            attempt=claimed["attempt"],
            state=state,
            status=result.status,
            error=result.error,
        )
        return result

    def _serve(self, due: store.DueEndpoint) -> None:
        """Send what is due until there is nothing more, the receiver fails, or it was others' turn long ago."""
        endpoint_id = due.id
        try:
            for _ in range(IN_A_ROW):
                result = self.deliver_next(endpoint_id, failing=due.failing)
                if result is None or not result.delivered:
                    break
        except SQLAlchemyError as error:
            log.warning("webhook_paused", endpoint=endpoint_id, error=type(error).__name__)
        except Exception:
            log.exception("webhook_failed", endpoint=endpoint_id)
        finally:
            with self._lock:
                self._busy.pop(endpoint_id, None)

    def _send(self, claimed: Mapping[str, Any], total_s: float) -> Result:
        body = claimed["body"].encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Distillery-Webhooks",
            **signed_headers(claimed["secrets"], claimed["id"], int(time.time()), body),
        }
        try:
            answer = post(claimed["url"], body, headers, self.rules, total_s=total_s, resolver=self.resolver)
        except UnsafeTarget:
            return Result(None, "unsafe_url")
        except Unresolvable:
            return Result(None, "unresolvable")
        except OutboundError as error:
            return Result(None, error.reason)
        return Result(answer.status, None if 200 <= answer.status < 300 else f"http_{answer.status}")
