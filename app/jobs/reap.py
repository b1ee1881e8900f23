"""Find jobs whose owner went silent, and give them to somebody else."""

from __future__ import annotations

import time

from sqlalchemy import Connection, func, select, text

from app.jobs.finish import AttemptEnd, cancel_attempt, fail_attempt
from app.jobs.states import OWNED, lease
from app.store.tables import job


class Reaper:
    """One sweep at a time; remembers its own gaps, because after an outage every lease looks expired."""

    def __init__(self, *, lease_s: float, grace_s: float, longest_gap_s: float = 10.0) -> None:
        self.lease_s = lease_s
        self.grace_s = grace_s
        self.longest_gap_s = longest_gap_s
        self._last_sweep: float | None = None
        self._quiet_until = 0.0

    def sweep(self, conn: Connection) -> int:
        """Requeue, fail or cancel every job with an expired lease; returns how many.

        Does nothing within one lease of a (re)start of Postgres, nor for one lease after this reaper itself was
        away: live owners get the chance to renew first.
        """
        now = time.monotonic()
        if self._last_sweep is not None and now - self._last_sweep > self.longest_gap_s:
            self._quiet_until = now + self.lease_s
        self._last_sweep = now
        if now < self._quiet_until or not _postgres_is_settled(conn, self.lease_s):
            return 0
        rows = conn.execute(
            select(job)
            .where(job.c.state.in_(OWNED), job.c.lease_until < lease(-self.grace_s))
            .order_by(job.c.lease_until)
            .limit(100)
            .with_for_update(skip_locked=True)
        ).mappings()
        count = 0
        for row in rows.all():
            end = AttemptEnd(phase=str(row["progress"].get("phase", "")))
            if row["state"] == "cancelling":
                cancel_attempt(conn, row, end)
            else:
                fail_attempt(conn, row, _lost(row["worker_id"], end.phase), end, backoff_s=0.5)
            count += 1
        return count


def _lost(worker_id: str, phase: str) -> dict[str, str]:
    where = f" in the phase {phase}" if phase else ""
    return {
        "code": "worker_lost",
        "detail": f"The worker {worker_id} went silent{where}.",
        "hint": "If this repeats, the job kills its worker: give it less memory to use, or a smaller budget.",
    }


def _postgres_is_settled(conn: Connection, lease_s: float) -> bool:
    started = select(func.pg_postmaster_start_time() < func.now() - text(f"interval '{float(lease_s)} seconds'"))
    return bool(conn.scalar(started))
