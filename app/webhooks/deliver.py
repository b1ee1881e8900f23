"""Send the messages that are due. Runs in the dispatcher; any number may run, as no message is claimed twice.

No database connection is held while a receiver is waited for: a try is claimed in one transaction and its end is
recorded in another. Messages of one endpoint are sent one after the other, those of different endpoints side by side.
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
    """Serves due endpoints in `slots` threads; one tenant gets at most half of them."""

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
        self._busy: dict[str, str] = {}  # endpoint -> tenant
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
        share = max(1, self.slots // 2)
        load = Counter(busy.values())
        full = [tenant_id for tenant_id, count in load.items() if count >= share]
        with self.engine.begin() as conn:
            found = store.due_endpoints(conn, busy=busy, full_tenants=full, limit=self.slots)
        started = 0
        for endpoint_id, tenant_id in found:
            if len(busy) + started >= self.slots or load[tenant_id] >= share:
                continue
            load[tenant_id] += 1
            started += 1
            with self._lock:
                self._busy[endpoint_id] = tenant_id
            # Daemons: a dispatcher that stops does not wait for receivers; what it was sending is sent again.
            threading.Thread(target=self._serve, args=(endpoint_id,), name="webhook", daemon=True).start()
        return started

    def deliver_next(self, endpoint_id: str) -> Result | None:
        """Send the endpoint's next due message; None when there is none."""
        with self.engine.begin() as conn:
            claimed = store.claim_delivery(conn, endpoint_id, LEASE_S)
        if claimed is None:
            return None
        result = self._send(claimed)
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

    def _serve(self, endpoint_id: str) -> None:
        """Send what is due until there is nothing more, or the receiver fails: then others get the slot."""
        try:
            while (result := self.deliver_next(endpoint_id)) is not None and result.delivered:
                pass
        except SQLAlchemyError as error:
            log.warning("webhook_paused", endpoint=endpoint_id, error=type(error).__name__)
        except Exception:
            log.exception("webhook_failed", endpoint=endpoint_id)
        finally:
            with self._lock:
                self._busy.pop(endpoint_id, None)

    def _send(self, claimed: Mapping[str, Any]) -> Result:
        body = claimed["body"].encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Distillery-Webhooks",
            **signed_headers(claimed["secrets"], claimed["id"], int(time.time()), body),
        }
        try:
            answer = post(claimed["url"], body, headers, self.rules, total_s=self.total_s, resolver=self.resolver)
        except UnsafeTarget:
            return Result(None, "unsafe_url")
        except Unresolvable:
            return Result(None, "unresolvable")
        except OutboundError as error:
            return Result(None, error.reason)
        return Result(answer.status, None if 200 <= answer.status < 300 else f"http_{answer.status}")
