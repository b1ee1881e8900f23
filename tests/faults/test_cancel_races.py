"""A cancel that comes at any moment of a job's life, beside whatever happens to it then."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from statistics import median
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, func, select, text, update

from app.jobs.cancel import cancel_job
from app.jobs.claim import claim_job
from app.jobs.commit import Outcome, commit_result
from app.jobs.finish import AttemptEnd, cancel_attempt, fail_attempt, release_attempt
from app.jobs.reap import Reaper
from app.jobs.renew import renew_lease
from app.jobs.states import JobRow, append_event
from app.store.database import open_engine
from app.store.tables import job, job_event
from tests.faults.invariants import MOVES, MOVING, STATE_AFTER
from tests.faults.misbehaving import Misbehaving
from tests.integration.jobs.conftest import fill, queue_job
from tests.service import Service

pytestmark = [
    pytest.mark.faults,
    pytest.mark.fault_row(
        13,
        "cancel in every state, beside every other move, 25 times each (200: slow)",
        "only legal histories",
        target="<= 2 s when the method listens, 15 s always",
    ),
]
END = AttemptEnd()
LOST = {"code": "worker_lost", "detail": "why"}
Move = Callable[[Connection, JobRow], object]


def claim(conn: Connection, row: JobRow) -> object:
    return claim_job(conn, row["id"], "worker", 30.0)


def reap(conn: Connection, row: JobRow) -> object:
    return Reaper(lease_s=0.001, grace_s=0.0).sweep(conn)


def cancel(conn: Connection, row: JobRow) -> object:
    return cancel_job(conn, "ten_a", row["id"])


def finish(conn: Connection, row: JobRow) -> object:
    """What a supervisor does at the end of its child: commit, or hear that the job was cancelled."""
    return commit_result(conn, row, Outcome(), END) or cancel_attempt(conn, row, END)


# The state in which the race begins, and what happens at the same moment as two cancels.
RACES: dict[str, tuple[str, list[Move]]] = {
    "queued-claimed": ("queued", [claim]),
    "queued-claimed-twice": ("queued", [claim, claim]),
    "running-committed": ("running", [finish]),
    "running-failed": ("running", [lambda conn, row: fail_attempt(conn, row, {"code": "internal"}, END)]),
    "running-tried-again": ("running", [lambda conn, row: fail_attempt(conn, row, LOST, END, backoff_s=0.0)]),
    "running-released": ("running", [lambda conn, row: release_attempt(conn, row, END)]),
    "running-silent-reaped": ("silent", [reap, finish]),
    "running-renewed-and-progressing": (
        "running",
        [
            lambda conn, row: renew_lease(conn, row["id"], row["fence"], 30.0),
            lambda conn, row: append_event(conn, row["id"], "progress", {}, fence=row["fence"]),
        ],
    ),
    "cancelling-ended": ("cancelling", [finish]),
    "cancelling-silent-reaped": ("cancelling-silent", [reap, finish]),
    "ended": ("succeeded", [finish, claim]),
}


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    opened = open_engine(database_url, pool=10)
    with opened.begin() as conn:
        fill(conn)
    yield opened
    opened.dispose()


def job_in(engine: Engine, state: str, number: int) -> JobRow:
    """A new job, brought into this state."""
    with engine.begin() as conn:
        row = queue_job(conn, seed=number, force=True)
        if state != "queued":
            row = claim_job(conn, row["id"], "worker", 30.0)
            assert row is not None
        if state.startswith("cancelling"):
            cancel_job(conn, "ten_a", row["id"])
        if state == "succeeded":
            commit_result(conn, row, Outcome(), END)
        if state.endswith("silent"):
            ago = func.now() - text("interval '1 minute'")
            conn.execute(update(job).where(job.c.id == row["id"]).values(lease_until=ago))
    return row


def history(conn: Connection, job_id: str) -> tuple[str, list[str]]:
    """The state of a job and its moves; they must be a legal history that ends there, without gaps."""
    row = conn.execute(select(job).where(job.c.id == job_id)).mappings().one()
    events = conn.execute(select(job_event).where(job_event.c.job_id == job_id).order_by(job_event.c.seq)).mappings()
    events = events.all()
    assert [event["seq"] for event in events] == list(range(1, row["last_seq"] + 1))
    moves = [event["type"] for event in events if event["type"] in MOVING]
    assert moves[0] == "created"
    assert set(pairwise(moves)) <= MOVES, moves
    assert STATE_AFTER.get(moves[-1], moves[-1]) == row["state"]
    return row["state"], moves


@pytest.mark.parametrize("race", RACES)
@pytest.mark.parametrize("rounds", [25, pytest.param(200, marks=pytest.mark.slow)])
def test_cancel_when_it_races_another_move_then_only_legal_histories(engine: Engine, race: str, rounds: int, measured):
    state, rivals = RACES[race]
    ends: Counter[str] = Counter()
    together = threading.Barrier(2 + len(rivals))

    def move(what: Move, row: JobRow) -> object:
        with engine.connect() as conn:  # connected before the start, so that the moves do meet
            conn.execute(text("SELECT 1"))
            conn.commit()
            together.wait(30)
            with conn.begin():
                return what(conn, row)

    with ThreadPoolExecutor(2 + len(rivals)) as pool:
        for number in range(rounds):
            row = job_in(engine, state, number)
            answers = [pool.submit(move, what, row) for what in [cancel, cancel, *rivals]]
            heard = [answer.result(30)["state"] for answer in answers[:2]]
            for answer in answers[2:]:
                answer.result(30)
            with engine.begin() as conn:
                ends[settled(conn, row, heard)] += 1
    measured.repeats(rounds)
    print(race, dict(ends))


def settled(conn: Connection, row: JobRow, heard: list[Any]) -> str:
    """The end that the race led to, once its owner has had the last word; what was heard must fit it."""
    state, moves = history(conn, row["id"])
    owner = conn.execute(select(job).where(job.c.id == row["id"])).mappings().one()
    assert state not in ("queued", "running"), f"the cancel was forgotten: {moves}"
    if state == "cancelling":
        assert commit_result(conn, owner, Outcome(), END) is None
        assert cancel_attempt(conn, owner, END) == "cancelled"
        state, moves = history(conn, row["id"])
    assert set(heard) <= {"cancelling", state}, (heard, moves)
    return state


@pytest.mark.parametrize("races", [25, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(1200)])])
def test_cancel_when_it_comes_at_any_moment_then_the_job_ends_within_two_seconds(at: Misbehaving, races: int, measured):
    """From before its claim to after its end, four jobs at a time on two slots."""
    begun = time.monotonic()
    at.finish(at.start("dawdle"))
    longest_s = 2 * (time.monotonic() - begun)

    def race(number: int) -> tuple[str, str, float]:
        job_id = at.start("dawdle", seed=number)
        if number % 5 == 4:  # as near to its commit as can be seen from outside, and once or more after it
            last = 0.97 if number % 10 == 9 else 1.0
            Service.wait(lambda: (at.job(job_id)["progress"].get("fraction") or 0) >= last, 60, "the end to be near")
        else:
            time.sleep(longest_s * number / races)
        before = at.job(job_id)["state"]
        asked = time.monotonic()
        answer = at.http.post(f"/v1/jobs/{job_id}/cancel").raise_for_status().json()
        ended = at.finish(job_id)
        took = time.monotonic() - asked
        assert answer["state"] in {"cancelling", ended["state"]}
        assert (ended["result"] is None) == (ended["state"] == "cancelled")
        return before, ended["state"], took

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(race, range(races)))
    measured.repeats(races)
    print(Counter((before, end) for before, end, _ in done))
    assert {end for _, end, _ in done} == {"cancelled", "succeeded"}
    took = [seconds for before, end, seconds in done if (before, end) == ("running", "cancelled")]
    for seconds in took:
        measured("cancelled after", seconds, "s", target=15)
    assert median(took) <= 2.0


def test_cancel_when_the_method_does_not_listen_then_its_process_is_killed(at: Misbehaving, measured):
    job_id = at.start("dawdle", {"steps": 2, "pause_s": 60})
    at.wait_for(job_id, "running")
    time.sleep(2.0)  # asleep by now, and deaf
    asked = time.monotonic()
    at.http.post(f"/v1/jobs/{job_id}/cancel").raise_for_status()
    assert at.finish(job_id)["state"] == "cancelled"
    measured("cancelled after, not listening", time.monotonic() - asked, "s", target=15)
