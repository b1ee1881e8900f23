"""Random histories of several jobs, compared after every step with a model of the states of a job."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from sqlalchemy import Engine, func, select, text, update

from app.jobs.cancel import cancel_job
from app.jobs.checkpoint import drop_old_checkpoints, save_checkpoint
from app.jobs.claim import claim_job
from app.jobs.commit import Outcome, commit_result
from app.jobs.dispatch import due_jobs
from app.jobs.errors import Refused
from app.jobs.finish import AttemptEnd, fail_attempt, release_attempt
from app.jobs.reap import Reaper
from app.jobs.renew import renew_lease
from app.jobs.retry import retry_job
from app.jobs.states import append_event
from app.jobs.sweep import Sweeper
from app.store.blobs import StoredBlob
from app.store.tables import artifact, job, job_attempt, job_event, summary
from tests.integration.jobs.conftest import fill, queue_job

END = AttemptEnd()
TERMINAL = {"succeeded", "failed", "cancelled"}
OWNED = {"running", "cancelling"}
# What service.md promises, written down again: reading the table of the code would check it against itself.
TRIES = {"worker_lost": 3, "out_of_memory": 2, "disk_full": 5, "store_unavailable": 5, "database_unavailable": 5}
CODES = [*TRIES, "invalid_input", "internal", "timeout"]
MOST_JOBS = 12
LONG_S = 3600.0

jobs_seen = st.lists(st.integers(0, MOST_JOBS - 1), min_size=1, max_size=3)


@dataclass
class Twin:
    """What a job must be."""

    id: str
    seed: int
    forced: bool
    priority: int
    born: int
    checkpoint: int | None = None
    retry_of: str | None = None
    state: str = "queued"
    fence: int = 0
    attempt: int = 0
    degrade: int = 0
    due: bool = True
    published: bool = False
    expired: bool = False
    events: list[str] = field(default_factory=lambda: ["created"])
    outcomes: dict[int, str | None] = field(default_factory=dict)
    points: set[int] = field(default_factory=set)
    summary: bool = False
    cached_from: str | None = None
    ended: int = 0

    def owned_by(self, fence: int) -> bool:
        return self.state in OWNED and self.fence == fence

    def end(self, state: str, outcome: str) -> str:
        self.state = state
        self.events.append({"queued": "requeued"}.get(state, state))
        self.outcomes[self.fence] = outcome
        self.expired = False
        return state

    def fail(self, code: str) -> str:
        earlier = Counter(self.outcomes.values())[code]
        if self.state == "cancelling":
            return self.end("cancelled", "cancelled")
        if earlier + 1 >= TRIES.get(code, 1):
            return self.end("failed", code)
        if code == "out_of_memory":
            self.degrade = 1
        self.due = self.published = False
        return self.end("queued", code)

    def release(self) -> str:
        if self.state == "cancelling":
            return self.end("cancelled", "cancelled")
        self.attempt -= 1
        self.due, self.published = True, False
        return self.end("queued", "released")


class Shelf:
    """A blob store without bytes: what the sweeper asks of one."""

    def __init__(self, staging: Path) -> None:
        self.staging = staging
        self.hashes: set[str] = set()

    def iterate(self):
        return [(sha256, 0.0) for sha256 in sorted(self.hashes)]

    def delete(self, sha256: str) -> None:
        self.hashes.remove(sha256)


class Lives(RuleBasedStateMachine):
    """Every rule is one transaction of one of the parties; owners of old fences and late messages never stop."""

    owners = Bundle("owners")

    def __init__(self, engine: Engine, folder: Path, done: Counter) -> None:
        super().__init__()
        self.engine, self.done = engine, done
        self.shelf = Shelf(folder)
        self.twins: dict[str, Twin] = {}
        self.seen: dict[str, tuple[str, int, int]] = {}
        self.numbers = count(1)
        self.reaper = Reaper(lease_s=0, grace_s=5, longest_gap_s=LONG_S)

    @initialize(target=owners)
    def begin(self):
        with self.engine.begin() as conn:
            conn.execute(text("TRUNCATE tenant, method, blob CASCADE"))
            fill(conn)
        for seed in range(4):
            self.create(seed=seed, forced=seed % 2 == 1, priority=0)
        return multiple(*self.claim([0, 1, 2]))

    # What users do

    @rule(seed=st.integers(0, 3), forced=st.booleans(), priority=st.integers(0, 2))
    def create(self, seed: int, forced: bool, priority: int):
        self.done["create"] += 1
        if len(self.twins) >= MOST_JOBS:
            return
        with self.engine.begin() as conn:
            row = queue_job(conn, seed=seed, force=forced, priority=priority)
        self.created(row, Twin(row["id"], seed, forced, priority, next(self.numbers)))

    @rule(number=st.integers(0, MOST_JOBS - 1))
    def cancel(self, number: int):
        self.done["cancel"] += 1
        if (twin := self.pick(number)) is None:
            return
        with self.engine.begin() as conn:
            assert cancel_job(conn, "ten_b", twin.id) is None
            row = cancel_job(conn, "ten_a", twin.id)
        if twin.state == "queued":
            twin.state = "cancelled"
            twin.events.append("cancelled")
        elif twin.state == "running":
            twin.state = "cancelling"
            twin.events.append("cancelling")
        assert row["state"] == twin.state

    @rule(number=st.integers(0, MOST_JOBS - 1))
    def retry(self, number: int):
        self.done["retry"] += 1
        if (old := self.pick(number)) is None or len(self.twins) >= MOST_JOBS:
            return
        if old.state not in TERMINAL:
            with self.engine.begin() as conn, pytest.raises(Refused, match=r"is (queued|running|cancelling)"):
                retry_job(conn, "ten_a", old.id)
            return
        with self.engine.begin() as conn:
            row = retry_job(conn, "ten_a", old.id)
        new = Twin(row["id"], old.seed, old.forced, old.priority, next(self.numbers), old.checkpoint, old.id)
        new.points = set() if old.checkpoint is None else {old.checkpoint}
        self.created(row, new)

    @rule(number=st.integers(0, 3))
    def delete_summary(self, number: int):
        """Results that nobody keeps are no answer to the next request."""
        self.done["delete_summary"] += 1
        made = [twin for twin in self.twins.values() if twin.summary]
        if made:
            twin = made[number % len(made)]
            twin.summary = False
            with self.engine.begin() as conn:
                conn.execute(update(summary).where(summary.c.job_id == twin.id).values(deleted_at=func.now()))

    # What the dispatcher does

    @rule(again=st.booleans())
    def dispatch(self, again: bool):
        self.done["dispatch"] += 1
        waiting = [twin for twin in self.twins.values() if twin.state == "queued" and twin.due]
        waiting = [twin for twin in waiting if again or not twin.published]
        with self.engine.begin() as conn:
            sent = due_jobs(conn, 0 if again else LONG_S)
        waiting.sort(key=lambda twin: (-twin.priority, twin.born))
        assert [(due.id, due.queue) for due in sent] == [(twin.id, "cpu") for twin in waiting]
        for twin in waiting:
            twin.published = True

    @rule(reap=st.booleans())
    def tidy(self, reap: bool):
        self.reap() if reap else self.sweep()

    def reap(self):
        self.done["reap"] += 1
        silent = [twin for twin in self.twins.values() if twin.expired]
        with self.engine.begin() as conn:
            assert self.reaper.sweep(conn) == len(silent)
            # The short pause before the next try must not end by itself while the model believes it lasts.
            later = func.now() + text("interval '1 hour'")
            conn.execute(update(job).where(job.c.available_at > func.now()).values(available_at=later))
        for twin in silent:
            twin.fail("worker_lost")

    def sweep(self):
        self.done["sweep"] += 1
        with self.engine.begin() as conn:
            Sweeper(self.shelf, grace_s=0).sweep(conn)  # type: ignore[arg-type]

    # What time does

    @rule(number=st.integers(0, MOST_JOBS - 1))
    def wait_for_retry(self, number: int):
        self.done["wait"] += 1
        if (twin := self.pick(number)) is not None and twin.state == "queued":
            twin.due = True
            with self.engine.begin() as conn:
                conn.execute(update(job).where(job.c.id == twin.id).values(available_at=func.now()))

    @rule(number=st.integers(0, MOST_JOBS - 1))
    def go_silent(self, number: int):
        self.done["expire"] += 1
        if (twin := self.pick(number)) is not None and twin.state in OWNED:
            twin.expired = True
            ago = func.now() - text("interval '1 hour'")
            with self.engine.begin() as conn:
                conn.execute(update(job).where(job.c.id == twin.id).values(lease_until=ago))

    # What workers do

    @rule(target=owners, numbers=jobs_seen, times=st.integers(1, 2))
    def deliver(self, numbers: list[int], times: int):
        """Messages come in any order and more than once; also long after the job is over."""
        return multiple(*self.claim(numbers * times))

    def claim(self, numbers: list[int]) -> list[dict]:
        claims = []
        for number in numbers:
            self.done["claim"] += 1
            if (twin := self.pick(number)) is None:
                continue
            with self.engine.begin() as conn:
                row = claim_job(conn, twin.id, "worker", LONG_S)
            assert (row is not None) == (twin.state == "queued" and twin.due)
            if row is None:
                continue
            twin.state = "running"
            twin.fence += 1
            twin.attempt += 1
            twin.outcomes[twin.fence] = None
            twin.events.append("started")
            assert (row["fence"], row["attempt"], row["degrade"]) == (twin.fence, twin.attempt, twin.degrade)
            claims.append(dict(row))
        return claims

    @rule(owner=owners)
    def renew(self, owner: dict):
        twin = self.twin_of(owner, "renew")
        with self.writes(owner) as conn:
            state = renew_lease(conn, owner["id"], owner["fence"], LONG_S)
        mine = twin.owned_by(owner["fence"])
        assert state == (twin.state if mine else None)
        twin.expired = twin.expired and not mine

    @rule(owner=owners)
    def progress(self, owner: dict):
        twin = self.twin_of(owner, "progress")
        with self.writes(owner) as conn:
            wrote = append_event(conn, owner["id"], "progress", {"fraction": 0.5}, fence=owner["fence"])
        assert wrote == twin.owned_by(owner["fence"])
        if wrote:
            twin.events.append("progress")

    @rule(owner=owners)
    def checkpoint(self, owner: dict):
        twin = self.twin_of(owner, "checkpoint")
        step = next(self.numbers)
        stored = StoredBlob(f"{step:064x}", 1)
        self.shelf.hashes.add(stored.sha256)
        with self.writes(owner) as conn:
            wrote = save_checkpoint(conn, owner, stored, step)
            if wrote:
                drop_old_checkpoints(conn, owner["id"])
        assert wrote == twin.owned_by(owner["fence"])
        if wrote:
            twin.events.append("checkpoint")
            twin.checkpoint = step
            twin.points = set(sorted({*twin.points, step})[-2:])

    @rule(owner=owners, with_summary=st.booleans())
    def commit(self, owner: dict, with_summary: bool):
        twin = self.twin_of(owner, "commit")
        stored = StoredBlob(f"{next(self.numbers):064x}", 1)
        self.shelf.hashes.add(stored.sha256)
        with self.writes(owner) as conn:
            result = commit_result(conn, owner, Outcome(summary={"rows.npz": stored} if with_summary else {}), END)
        assert (result is not None) == (twin.owned_by(owner["fence"]) and twin.state == "running")
        if result is not None:
            twin.end("succeeded", "succeeded")
            twin.summary = with_summary
            twin.points, twin.checkpoint = set(), None
            twin.ended = next(self.numbers)

    @rule(owner=owners, code=st.sampled_from(CODES))
    def fail(self, owner: dict, code: str):
        twin = self.twin_of(owner, "fail")
        with self.writes(owner) as conn:
            state = fail_attempt(conn, owner, {"code": code, "detail": "why"}, END, backoff_s=LONG_S)
        assert state == (twin.fail(code) if twin.owned_by(owner["fence"]) else None)

    @rule(owner=owners)
    def release(self, owner: dict):
        twin = self.twin_of(owner, "release")
        with self.writes(owner) as conn:
            state = release_attempt(conn, owner, END)
        assert state == (twin.release() if twin.owned_by(owner["fence"]) else None)

    # What must hold after every step

    @invariant()
    def the_database_is_as_the_model(self):
        with self.engine.begin() as conn:
            rows = conn.execute(select(job, (job.c.available_at <= func.now()).label("due"))).mappings().all()
            events = conn.execute(select(job_event).order_by(job_event.c.job_id, job_event.c.seq)).mappings().all()
            attempts = conn.execute(select(job_attempt)).mappings().all()
            made = Counter(conn.scalars(select(summary.c.job_id)))
            files = conn.execute(select(artifact).where(artifact.c.owner.like("job_%"))).mappings().all()
        assert {row["id"] for row in rows} == set(self.twins)
        for row in rows:
            self.check(row)
            twin = self.twins[row["id"]]
            mine = [event for event in events if event["job_id"] == twin.id]
            assert [event["seq"] for event in mine] == list(range(1, row["last_seq"] + 1))
            types = [event["type"] for event in mine]
            assert types == twin.events
            assert types.count("succeeded") == (twin.state == "succeeded")
            tried = {attempt["fence"]: attempt["outcome"] for attempt in attempts if attempt["job_id"] == twin.id}
            assert tried == twin.outcomes
            assert twin.attempt == sum(outcome != "released" for outcome in tried.values())
            assert made[twin.id] <= (twin.state == "succeeded" and twin.cached_from is None)
            assert made[twin.id] >= twin.summary
            paths = {file["path"] for file in files if file["owner"] == twin.id}
            assert paths == {f"checkpoint/{step:012d}" for step in twin.points}

    def check(self, row):
        twin = self.twins[row["id"]]
        state, fence, seq = self.seen.get(twin.id, ("queued", 0, 0))
        assert state not in TERMINAL or row["state"] == state
        assert row["fence"] >= fence
        assert row["last_seq"] >= seq
        self.seen[twin.id] = (row["state"], row["fence"], row["last_seq"])
        for name in ("state", "fence", "attempt", "degrade", "priority", "retry_of", "cached_from"):
            assert row[name] == getattr(twin, name), name
        assert (row["checkpoint"] or {}).get("step") == twin.checkpoint
        assert (row["lease_until"] is not None) == (twin.state in OWNED)
        if twin.state == "queued":
            assert (row["due"], row["published_at"] is not None) == (twin.due, twin.published)
        if twin.state == "failed":
            assert row["error"]["code"] == twin.outcomes[twin.fence]

    # Helpers

    def created(self, row, new: Twin) -> None:
        """Put what creation answered with beside what it should have answered with."""
        same = [twin for twin in self.twins.values() if twin.seed == new.seed]
        if not new.forced:
            for twin in same:
                if twin.state in ("queued", "running") and not twin.forced:
                    assert row["id"] == twin.id
                    return
            finished = [twin for twin in same if twin.state == "succeeded" and self.has_result(twin)]
            if finished:
                best = max(finished, key=lambda twin: twin.ended)
                new.cached_from = best.cached_from or best.id
                new.state, new.ended = "succeeded", next(self.numbers)
                new.events += ["started", "succeeded"]
                new.points, new.checkpoint = set(), None
        assert row["id"] not in self.twins
        self.twins[new.id] = new

    def has_result(self, twin: Twin) -> bool:
        """Whether its result still exists: it made no summary, or one that nobody deleted."""
        maker = self.twins[twin.cached_from or twin.id]
        with self.engine.begin() as conn:
            gone = select(summary.c.id).where(summary.c.job_id == maker.id, summary.c.deleted_at.is_not(None))
            return conn.scalar(gone) is None

    def pick(self, number: int) -> Twin | None:
        known = list(self.twins.values())
        return known[number % len(known)] if known else None

    def twin_of(self, owner: dict, what: str) -> Twin:
        twin = self.twins[owner["id"]]
        self.done[what] += 1
        self.done["by an old fence"] += not twin.owned_by(owner["fence"])
        return twin

    def writes(self, owner: dict) -> Write:
        return Write(self.engine, refused=not self.twins[owner["id"]].owned_by(owner["fence"]))


class Write:
    """A transaction of an owner; of one whose fence is lost it must leave every table as it was."""

    def __init__(self, engine: Engine, *, refused: bool) -> None:
        self.transaction = engine.begin()
        self.refused = refused

    def __enter__(self):
        self.conn = self.transaction.__enter__()
        self.before = self.everything() if self.refused else None
        return self.conn

    def __exit__(self, *error) -> None:
        try:
            if self.refused and error[0] is None:
                assert self.everything() == self.before
        finally:
            self.transaction.__exit__(*error)

    def everything(self):
        tables = ("job", "job_event", "job_attempt", "summary", "artifact", "blob")
        parts = [f"(SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t)" for table in tables]
        return self.conn.execute(text(f"SELECT {', '.join(parts)}")).one()


def run(engine: Engine, folder: Path, *, examples: int, steps: int) -> Counter:
    done: Counter = Counter()
    profile = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # a history is short enough to read as it is
    )
    run_machine(lambda: Lives(engine, folder, done), settings=profile)
    return done


def operations(done: Counter) -> int:
    return sum(times for what, times in done.items() if what != "by an old fence")


def test_lives_when_500_random_operations_then_the_database_is_as_the_model(engine: Engine, tmp_path: Path):
    done = run(engine, tmp_path, examples=14, steps=40)
    print(operations(done), done)
    assert operations(done) >= 500
    assert done["by an old fence"] > 20


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_lives_when_10000_random_operations_then_the_database_is_as_the_model(engine: Engine, tmp_path: Path):
    done = run(engine, tmp_path, examples=120, steps=80)
    print(operations(done), done)
    assert operations(done) >= 10_000
    assert done["by an old fence"] > 1000


def test_retry_when_the_job_succeeded_and_its_checkpoint_was_swept_then_starts_afresh(engine: Engine, tmp_path: Path):
    shelf = Shelf(tmp_path)
    point = StoredBlob("a" * 64, 1)
    shelf.hashes.add(point.sha256)
    with engine.begin() as conn:
        row = claim_job(conn, queue_job(conn, force=True)["id"], "worker", LONG_S)
        assert save_checkpoint(conn, row, point, 1)
        assert commit_result(conn, row, Outcome(), END) is not None
        assert Sweeper(shelf, grace_s=0).sweep(conn) == 1  # type: ignore[arg-type]
        again = retry_job(conn, "ten_a", row["id"])
        assert (again["state"], again["checkpoint"]) == ("queued", None)
