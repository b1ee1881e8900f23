"""A worker whose clock is a day wrong: only the database's clock decides, so nothing is different."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import DateTime, select

from app.store.tables import metadata
from tests.faults.invariants import database
from tests.faults.misbehaving import Misbehaving, in_workers, misbehaving
from tests.service import Service

pytestmark = pytest.mark.faults
DAY_S = 86_400.0


@pytest.mark.fault_row(8, "worker's clock one day fast or slow", "no early reap; the database's times are stored")
@pytest.mark.parametrize("wrong_s", [DAY_S, -DAY_S], ids=["fast", "slow"])
def test_job_when_the_workers_clock_is_wrong_then_runs_once_with_the_right_times(
    wrong_s: float, tmp_path: Path, measured
):
    begun = datetime.now(UTC)
    wrong_clock = in_workers(tmp_path / "clock", f"from tests.faults.shifted_clock import shift; shift({wrong_s})")
    with misbehaving(wrong_clock) as at:
        said = logged_at(at.service)
        assert abs((said - begun).total_seconds() - wrong_s) < 300, "the worker's clock is not wrong"
        jobs = [at.start("dawdle", {"steps": 120}), at.start("no-op")]  # the first one lasts longer than a lease
        cancelled = at.start("dawdle", {"steps": 10_000})
        ended = [at.finish(job_id) for job_id in jobs]
        at.wait_for(cancelled, "running")
        at.http.post(f"/v1/jobs/{cancelled}/cancel").raise_for_status()
        at.finish(cancelled)
        assert [(job["state"], job["attempt"]) for job in ended] == [("succeeded", 1)] * 2
        for job_id in jobs:
            assert "requeued" not in [event["type"] for event in at.events(job_id)]
        count = times_outside(at, begun - timedelta(seconds=1), datetime.now(UTC) + timedelta(seconds=1))
    measured("times stored by a wrong clock", count, target=0)


def logged_at(service: Service) -> datetime:
    """What the worker believes: the time of its last line."""
    return datetime.fromisoformat(json.loads(service.logs("worker").splitlines()[-1])["timestamp"])


# Set in advance by design, by the database as well.
FUTURE = {("idempotency_key", "expires_at"), ("upload", "expires_at"), ("job", "lease_until")}


def times_outside(at: Misbehaving, first: datetime, last: datetime) -> int:
    """How many of all times in all tables are not between these two."""
    wrong, seen = 0, 0
    with database(at.service) as conn:
        for table in metadata.tables.values():
            columns = [column for column in table.columns if isinstance(column.type, DateTime)]
            columns = [column for column in columns if (table.name, column.name) not in FUTURE]
            for row in conn.execute(select(*columns)) if columns else ():
                moments = [moment for moment in row if moment is not None]
                seen += len(moments)
                wrong += sum(not first <= moment <= last for moment in moments)
    assert seen > 50
    return wrong
