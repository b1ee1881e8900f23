"""Random histories of jobs of two tenants, compared after every step with a model of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from sqlalchemy import Engine, func, insert, select, text, update

from app.jobs.cancel import cancel_job
from app.jobs.checkpoint import drop_old_checkpoints, save_checkpoint
from app.jobs.claim import claim_job, claim_next
from app.jobs.commit import Outcome, commit_result
from app.jobs.create import NewJob, create_job
from app.jobs.dispatch import due_jobs
from app.jobs.errors import Refused
from app.jobs.finish import AttemptEnd, fail_attempt, release_attempt
from app.jobs.reap import Reaper
from app.jobs.renew import renew_lease
from app.jobs.retry import retry_job
from app.jobs.states import append_event
from app.jobs.sweep import Sweeper
from app.store.blobs import StoredBlob
from app.store.jobs import queue_position
from app.store.tables import artifact, dataset, dataset_version, job, job_attempt, job_event, summary, tenant
from tests.integration.jobs.conftest import fill, queue_job
from tests.integration.jobs.twins import (
    CODES,
    LONG_S,
    MOST_JOBS,
    OWNED,
    TERMINAL,
    Asked,
    Shelf,
    Twin,
    answers,
    before,
    next_in_turn,
)

END = AttemptEnd()
LIMITS = ({}, {"time_s": 10}, {"time_s": 600}, {"time_s": 10, "evaluate_s": 600}, {"time_s": 600, "memory_mb": 100})
# What must have happened in 500 operations, and how often, for the test to mean something.
REMARKABLE = {
    "by an old fence": 20,
    "found alive": 5,
    "answered by a result": 3,
    "cut too early": 3,
    "a turn to decide": 10,
}
OTHERWISE = ({}, {}, {}, {"deterministic": True}, {"tenant": "ten_a"}, {"tenant": "ten_b"})
DATA = {"ten_a": "ds_a@1", "ten_b": "ds_b@1"}

questions = st.builds(
    Asked,
    tenant=st.sampled_from(sorted(DATA)),
    seed=st.integers(0, 1),
    deterministic=st.booleans(),
    limits=st.sampled_from(LIMITS),
    forced=st.integers(0, 3).map(lambda number: number == 0),
    priority=st.integers(0, 2),
)
lives = st.tuples(st.sampled_from(LIMITS), st.booleans(), st.booleans())  # limits, forced, cut
jobs_seen = st.lists(st.integers(0, MOST_JOBS - 1), min_size=1, max_size=2)


class Lives(RuleBasedStateMachine):
    """Every rule is one transaction of one of the parties; owners of old fences and late messages never stop."""

    owners = Bundle("owners")

    def __init__(self, engine: Engine, folder: Path, done: Counter) -> None:
        super().__init__()
        self.engine, self.done = engine, done
        self.shelf = Shelf(folder)
        self.twins: dict[str, Twin] = {}
        self.seen: dict[str, tuple[str, int, int]] = {}
        self.own_most: dict[str, int] = {}
        self.numbers = count(1)
        self.reaper = Reaper(lease_s=0, grace_s=5, longest_gap_s=LONG_S)

    @initialize(target=owners)
    def begin(self):
        with self.engine.begin() as conn:
            conn.execute(text("TRUNCATE tenant, method, blob CASCADE"))
            fill(conn)
            # The same content as the other tenant's: nothing but whose it is keeps their answers apart.
            own = {"id": "ds_b", "tenant_id": "ten_b", "name": "b", "kind": "interactions", "latest_version": 1}
            conn.execute(insert(dataset).values(**own))
            ready = {"number": 1, "state": "ready", "content_sha256": "c" * 64}
            conn.execute(insert(dataset_version).values(dataset_id="ds_b", tenant_id="ten_b", **ready))
        for seed in range(4):
            self.ask(Asked(tenant=("ten_a", "ten_b")[seed // 2], seed=seed, forced=seed % 2 == 1))
        return multiple(*self.claim([0, 1, 2]))

    # What users do

    @rule(several=st.lists(questions, min_size=1, max_size=4))
    def create(self, several: list[Asked]):
        for asked in several:
            self.ask(asked)

    @rule(number=st.integers(0, MOST_JOBS - 1), limits=st.sampled_from(LIMITS), otherwise=st.sampled_from(OTHERWISE))
    def ask_again(self, number: int, limits: dict[str, int], otherwise: dict[str, Any]):
        """The question of an earlier job, with these limits, and perhaps a little different."""
        if (old := self.pick(number)) is not None:
            self.ask(replace(old.asked, limits=limits, forced=False, **otherwise))

    def ask(self, asked: Asked):
        self.done["create"] += 1
        if len(self.twins) >= MOST_JOBS:
            return
        new = NewJob(
            "tiny",
            DATA[asked.tenant],
            seed=asked.seed,
            deterministic=asked.deterministic,
            limits=dict(asked.limits),
            force=asked.forced,
            priority=asked.priority,
        )
        with self.engine.begin() as conn:
            row = create_job(conn, asked.tenant, new)
        self.created(row, Twin(row["id"], asked, next(self.numbers)))

    @rule(number=st.integers(0, MOST_JOBS - 1))
    def cancel(self, number: int):
        self.done["cancel"] += 1
        if (twin := self.pick(number)) is None:
            return
        with self.engine.begin() as conn:
            other = "ten_b" if twin.asked.tenant == "ten_a" else "ten_a"
            assert cancel_job(conn, other, twin.id) is None
            row = cancel_job(conn, twin.asked.tenant, twin.id)
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
                retry_job(conn, old.asked.tenant, old.id)
            return
        with self.engine.begin() as conn:
            row = retry_job(conn, old.asked.tenant, old.id)
        new = Twin(row["id"], old.asked, next(self.numbers), old.checkpoint, old.id)
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
        waiting.sort(key=lambda twin: (-twin.asked.priority, twin.born))
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
            Sweeper(self.shelf, grace_s=0).sweep(conn)

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
            if row is not None:
                claims.append(self.claimed(twin, row))
        return claims

    def claimed(self, twin: Twin, row: Mapping[str, Any]) -> dict:
        twin.state = "running"
        twin.fence += 1
        twin.attempt += 1
        twin.started = next(self.numbers)
        twin.outcomes[twin.fence] = None
        twin.events.append("started")
        assert (row["fence"], row["attempt"], row["degrade"]) == (twin.fence, twin.attempt, twin.degrade)
        return dict(row)

    @rule(target=owners, times=st.integers(1, 3), most=st.integers(0, 3))
    def take(self, times: int, most: int):
        """A worker that is free takes the job whose turn it is."""
        return multiple(*self.taken(times, most))

    def taken(self, times: int, most: int) -> list[dict]:
        claims = []
        for _ in range(times):
            self.done["take"] += 1
            expected = next_in_turn(self.twins.values(), {name: self.own_most.get(name, most) for name in DATA})
            waiting = {twin.asked.tenant for twin in self.twins.values() if twin.state == "queued" and twin.due}
            self.done["a turn to decide"] += len(waiting) > 1
            with self.engine.begin() as conn:
                row = claim_next(conn, ["cpu"], "worker", LONG_S, running_limit=most)
            assert (row and row["id"]) == (expected and expected.id)
            if row is not None:
                claims.append(self.claimed(expected, row))
        return claims

    @rule(asked=questions, times=st.lists(lives, min_size=1, max_size=3), last=st.sampled_from(LIMITS))
    def live(self, asked: Asked, times: list[tuple[dict[str, int], bool, bool]], last: dict[str, int]):
        """A question is asked several times, what waits is worked on in between, and it is asked again."""
        for limits, forced, cut in times:
            self.ask(replace(asked, limits=limits, forced=forced))
            for owner in self.taken(2, 0):
                self.commit(owner, True, cut)
        self.ask(replace(asked, limits=last, forced=False))

    @rule(tenant_id=st.sampled_from(sorted(DATA)), most=st.none() | st.integers(0, 2))
    def limit(self, tenant_id: str, most: int | None):
        """A tenant is given a limit of its own, or loses it."""
        self.done["limit"] += 1
        own = {} if most is None else {"running_jobs": most}
        self.own_most = (
            {**self.own_most, tenant_id: most}
            if own
            else {name: kept for name, kept in self.own_most.items() if name != tenant_id}
        )
        with self.engine.begin() as conn:
            conn.execute(update(tenant).where(tenant.c.id == tenant_id).values(limits=own))

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

    @rule(owner=owners, with_summary=st.booleans(), cut=st.booleans())
    def commit_one(self, owner: dict, with_summary: bool, cut: bool):
        self.commit(owner, with_summary, cut)

    def commit(self, owner: dict, with_summary: bool, cut: bool):
        twin = self.twin_of(owner, "commit")
        stored = StoredBlob(f"{next(self.numbers):064x}", 1)
        self.shelf.hashes.add(stored.sha256)
        with self.writes(owner) as conn:
            ended_early = {"time_s": float(twin.asked.seconds("time_s"))} if cut else {}
            outcome = Outcome(summary={"rows.npz": stored} if with_summary else {}, cut=ended_early)
            result = commit_result(conn, owner, outcome, END)
        assert (result is not None) == (twin.owned_by(owner["fence"]) and twin.state == "running")
        if result is not None:
            twin.end("succeeded", "succeeded")
            twin.summary = with_summary
            twin.points, twin.checkpoint = set(), None
            twin.ended = next(self.numbers)
            twin.cut = ended_early

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
            places = {row["id"]: queue_position(conn, row) for row in rows if row["state"] == "queued"}
        assert {row["id"] for row in rows} == set(self.twins)
        for row in rows:
            self.check(row)
            twin = self.twins[row["id"]]
            assert places.get(twin.id) == (before(self.twins.values(), twin) if twin.state == "queued" else None)
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
        for name in ("state", "fence", "attempt", "degrade", "retry_of", "cached_from", "cut"):
            assert row[name] == getattr(twin, name), name
        asked = (twin.asked.tenant, twin.asked.seed, twin.asked.deterministic, twin.asked.priority, twin.asked.limits)
        assert asked == tuple(row[name] for name in ("tenant_id", "seed", "deterministic", "priority", "limits"))
        assert (row["checkpoint"] or {}).get("step") == twin.checkpoint
        assert (row["lease_until"] is not None) == (twin.state in OWNED)
        if twin.state == "queued":
            assert (row["due"], row["published_at"] is not None) == (twin.due, twin.published)
        if twin.state == "failed":
            assert row["error"]["code"] == twin.outcomes[twin.fence]

    # Helpers

    def created(self, row, new: Twin) -> None:
        """Put what creation answered with beside what it should have answered with."""
        if not new.asked.forced:
            live, done = answers(self.twins.values(), new.asked, self.has_result)
            self.done["found alive"] += bool(live)
            self.done["answered by a result"] += not live and done is not None
            self.done["cut too early"] += not live and any(
                twin.cut and twin is not done and twin.asked.question == new.asked.question
                for twin in self.twins.values()
            )
            if live:
                assert row["id"] in live
                return
            if done is not None:
                new.cached_from, new.cut = done.cached_from or done.id, done.cut
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
    return sum(times for what, times in done.items() if what not in REMARKABLE)


def test_lives_when_500_random_operations_then_the_database_is_as_the_model(engine: Engine, tmp_path: Path):
    done = run(engine, tmp_path, examples=14, steps=40)
    print(operations(done), done)
    assert operations(done) >= 500
    assert all(done[what] >= least for what, least in REMARKABLE.items())


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_lives_when_10000_random_operations_then_the_database_is_as_the_model(engine: Engine, tmp_path: Path):
    done = run(engine, tmp_path, examples=150, steps=80)
    print(operations(done), done)
    assert operations(done) >= 10_000
    assert all(done[what] >= 20 * least for what, least in REMARKABLE.items())


def test_retry_when_the_job_succeeded_and_its_checkpoint_was_swept_then_starts_afresh(engine: Engine, tmp_path: Path):
    shelf = Shelf(tmp_path)
    point = StoredBlob("a" * 64, 1)
    shelf.hashes.add(point.sha256)
    with engine.begin() as conn:
        row = claim_job(conn, queue_job(conn, force=True)["id"], "worker", LONG_S)
        assert save_checkpoint(conn, row, point, 1)
        assert commit_result(conn, row, Outcome(), END) is not None
        assert Sweeper(shelf, grace_s=0).sweep(conn) == 1
        again = retry_job(conn, "ten_a", row["id"])
        assert (again["state"], again["checkpoint"]) == ("queued", None)
