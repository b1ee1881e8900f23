"""The life of a job in the database: one owner, one result, legal moves only."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from app.jobs.cancel import cancel_job
from app.jobs.checkpoint import drop_old_checkpoints, save_checkpoint
from app.jobs.claim import claim_job, claim_next
from app.jobs.commit import Outcome, commit_result
from app.jobs.dispatch import due_jobs
from app.jobs.finish import TRIES, AttemptEnd, fail_attempt, release_attempt
from app.jobs.reap import Reaper
from app.jobs.renew import renew_lease
from app.jobs.retry import retry_job
from app.jobs.states import append_event, transition
from app.store.blobs import StoredBlob
from app.store.tables import artifact, job, job_attempt, job_event, summary
from tests.integration.jobs.conftest import event_types, queue_job, state_of

END = AttemptEnd()


def claimed(conn, **changes):
    return claim_job(conn, queue_job(conn, **changes)["id"], "worker", 30)


def expire(conn, job_id: str) -> None:
    conn.execute(update(job).where(job.c.id == job_id).values(lease_until=func.now() - text("interval '1 hour'")))


def make_due(conn, job_id: str) -> None:
    conn.execute(update(job).where(job.c.id == job_id).values(available_at=func.now()))


def test_claim_when_many_try_then_one_wins(engine: Engine):
    with engine.begin() as conn:
        ids = [queue_job(conn, seed=seed)["id"] for seed in range(20)]

    def claim(number: int) -> bool:
        with engine.begin() as conn:
            return claim_job(conn, ids[number % 20], f"worker{number}", 30) is not None

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, range(100))) == 20


def test_every_illegal_move_when_written_by_hand_then_the_database_refuses(engine: Engine):
    legal = {
        ("queued", "running"), ("queued", "cancelled"), ("running", "succeeded"), ("running", "failed"),
        ("running", "cancelling"), ("running", "queued"), ("cancelling", "cancelled"), ("cancelling", "failed"),
    }  # fmt: skip
    states = ("queued", "running", "cancelling", "succeeded", "failed", "cancelled")
    filled = {
        "lease_until": "CASE WHEN '{0}' IN ('running','cancelling') THEN now() END",
        "finished_at": "CASE WHEN '{0}' IN ('succeeded','failed','cancelled') THEN now() END",
        "error": "'{{}}'::jsonb",
    }

    def put(conn, job_id: str, state: str) -> None:
        sets = ", ".join(f"{column} = {value.format(state)}" for column, value in filled.items())
        conn.execute(text(f"UPDATE job SET state = '{state}', {sets} WHERE id = :id"), {"id": job_id})

    for source in states:
        for target in states:
            if source == target:
                continue
            with engine.connect() as conn:
                job_id = queue_job(conn, force=True)["id"]
                conn.execute(text("ALTER TABLE job DISABLE TRIGGER job_guard"))
                put(conn, job_id, source)
                conn.execute(text("ALTER TABLE job ENABLE TRIGGER job_guard"))
                if (source, target) in legal:
                    put(conn, job_id, target)
                else:
                    with pytest.raises(DBAPIError, match="cannot become"):
                        put(conn, job_id, target)
                conn.rollback()


def test_events_when_changed_or_skipped_then_the_database_refuses(engine: Engine):
    with engine.begin() as conn:
        row = queue_job(conn)
    with engine.connect() as conn, pytest.raises(DBAPIError, match="never changed"):
        conn.execute(update(job_event).values(type="x"))
    with engine.connect() as conn, pytest.raises(DBAPIError, match="not the next one"):
        conn.execute(insert(job_event).values(job_id=row["id"], seq=7, tenant_id="ten_a", type="x"))


def test_events_when_many_write_at_once_then_their_numbers_have_no_gap(engine: Engine):
    with engine.begin() as conn:
        job_id = queue_job(conn)["id"]

    def write(number: int) -> None:
        with engine.begin() as conn:
            append_event(conn, job_id, "log", {"text": str(number)})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(50)))
    with engine.begin() as conn:
        assert list(conn.scalars(select(job_event.c.seq).order_by(job_event.c.seq))) == list(range(1, 52))


def test_commit_when_the_fence_is_lost_then_nothing_is_stored(engine: Engine):
    stored = {"rows.npz": StoredBlob("a" * 64, 3)}
    with engine.begin() as conn:
        late = claimed(conn)
        expire(conn, late["id"])
        fail_attempt(conn, late, {"code": "worker_lost", "detail": ""}, END)
        make_due(conn, late["id"])
        owner = claim_job(conn, late["id"], "other", 30)
        assert owner["fence"] > late["fence"]
        assert commit_result(conn, late, Outcome(summary=stored), END) is None
        assert renew_lease(conn, late["id"], late["fence"], 30) is None
        assert not save_checkpoint(conn, late, stored["rows.npz"], 1)
        result = commit_result(conn, owner, Outcome(summary=stored), END)
        assert commit_result(conn, owner, Outcome(summary=stored), END) is None
        assert list(conn.scalars(select(summary.c.id))) == [result["summary"]]
        assert event_types(conn, owner["id"]).count("succeeded") == 1


def test_commit_when_the_job_is_being_cancelled_then_leaves_no_summary(engine: Engine):
    with engine.begin() as conn:
        row = claimed(conn)
        assert cancel_job(conn, "ten_a", row["id"])["state"] == "cancelling"
        assert commit_result(conn, row, Outcome(summary={"a": StoredBlob("a" * 64, 3)}), END) is None
        assert conn.scalar(select(func.count()).select_from(summary)) == 0


def test_cancel_when_the_job_waits_then_it_is_cancelled_at_once(engine: Engine):
    with engine.begin() as conn:
        job_id = queue_job(conn)["id"]
        assert cancel_job(conn, "ten_b", job_id) is None
        assert cancel_job(conn, "ten_a", job_id)["state"] == "cancelled"
        assert cancel_job(conn, "ten_a", job_id)["state"] == "cancelled"
        assert claim_job(conn, job_id, "worker", 30) is None


def test_cancel_when_it_races_the_commit_then_the_history_is_legal(engine: Engine):
    for seed in range(20):
        with engine.begin() as conn:
            row = claimed(conn, seed=seed)
        start = threading.Barrier(2)

        def commit(row=row, start=start):
            start.wait()
            with engine.begin() as conn:
                if commit_result(conn, row, Outcome(), END) is None:
                    fail_attempt(conn, row, {"code": "internal", "detail": ""}, END)

        def cancel(row=row, start=start):
            start.wait()
            with engine.begin() as conn:
                cancel_job(conn, "ten_a", row["id"])

        with ThreadPoolExecutor(2) as pool:
            for done in [pool.submit(commit), pool.submit(cancel)]:
                done.result()
        with engine.begin() as conn:
            assert state_of(conn, row["id"]) in ("succeeded", "cancelled")


@pytest.mark.parametrize(("code", "tries"), [("invalid_input", 1), ("internal", 1), *TRIES.items()])
def test_fail_when_tried_again_then_gives_up_after_the_tries_of_its_code(engine: Engine, code: str, tries: int):
    with engine.begin() as conn:
        job_id = queue_job(conn)["id"]
        for attempt in range(1, tries + 1):
            make_due(conn, job_id)
            row = claim_job(conn, job_id, "worker", 30)
            assert row["attempt"] == attempt
            state = fail_attempt(conn, row, {"code": code, "detail": "why"}, END)
            assert state == ("failed" if attempt == tries else "queued")
        row = conn.execute(select(job).where(job.c.id == job_id)).mappings().one()
        assert (row["error"]["code"], row["degrade"]) == (code, int(code == "out_of_memory"))


def test_release_when_the_worker_stops_then_the_attempt_is_not_counted(engine: Engine):
    with engine.begin() as conn:
        row = claimed(conn)
        assert release_attempt(conn, row, END) == "queued"
        again = claim_job(conn, row["id"], "other", 30)
        assert (again["attempt"], again["fence"]) == (1, 2)


def test_reap_when_a_lease_expired_then_requeues_and_cancelling_becomes_cancelled(engine: Engine):
    with engine.begin() as conn:
        silent, alive, leaving = (claimed(conn, seed=seed) for seed in range(3))
        cancel_job(conn, "ten_a", leaving["id"])
        expire(conn, silent["id"])
        expire(conn, leaving["id"])
        # A lease of 0 s means Postgres counts as settled at once.
        assert Reaper(lease_s=0, grace_s=5).sweep(conn) == 2
        states = [state_of(conn, row["id"]) for row in (silent, alive, leaving)]
        assert states == ["queued", "running", "cancelled"]
        outcome = conn.scalar(select(job_attempt.c.outcome).where(job_attempt.c.job_id == silent["id"]))
        assert outcome == "worker_lost"


def test_reap_when_postgres_has_just_started_then_waits_for_the_owners(engine: Engine):
    with engine.begin() as conn:
        row = claimed(conn)
        expire(conn, row["id"])
        assert Reaper(lease_s=86_400, grace_s=5).sweep(conn) == 0
        assert renew_lease(conn, row["id"], row["fence"], 30) == "running"


def test_reap_when_the_reaper_was_away_then_waits_for_the_owners(engine: Engine):
    with engine.begin() as conn:
        reaper = Reaper(lease_s=0.2, grace_s=0, longest_gap_s=0.0)
        reaper.sweep(conn)
        row = claimed(conn)
        expire(conn, row["id"])
        assert reaper.sweep(conn) == 0


def test_dispatch_when_a_hint_was_sent_then_sends_it_again_only_later(engine: Engine):
    with engine.begin() as conn:
        low, high = queue_job(conn)["id"], queue_job(conn, seed=1, priority=5)["id"]
        assert [(due.id, due.queue, due.again) for due in due_jobs(conn, 30)] == [
            (high, "cpu", False),
            (low, "cpu", False),
        ]
        assert due_jobs(conn, 30) == []
    with engine.begin() as conn:
        assert [due.again for due in due_jobs(conn, 0)] == [True, True]


def test_checkpoints_when_more_than_two_then_the_oldest_blobs_go(engine: Engine):
    with engine.begin() as conn:
        row = claimed(conn)
        for step in range(4):
            assert save_checkpoint(conn, row, StoredBlob(str(step) * 64, 1), step)
        assert sorted(drop_old_checkpoints(conn, row["id"])) == ["0" * 64, "1" * 64]
        assert transition(conn, row["id"], "failed", fence=row["fence"], values={"error": {"code": "x"}}) is not None
        again = retry_job(conn, "ten_a", row["id"])
        assert (again["retry_of"], again["checkpoint"]["step"]) == (row["id"], 3)
        assert list(conn.scalars(select(artifact.c.sha256).where(artifact.c.owner == again["id"]))) == ["3" * 64]


def test_claim_next_when_jobs_wait_then_takes_the_first_due_of_its_queues(engine: Engine):
    with engine.begin() as conn:
        later, low, high, other = (queue_job(conn, seed=seed, priority=seed % 3)["id"] for seed in range(4))
        conn.execute(update(job).where(job.c.id == other).values(queue="gpu", priority=9))
        conn.execute(
            update(job).where(job.c.id == later).values(priority=9, available_at=func.now() + text("interval '1 hour'"))
        )
    taken = []
    for _ in range(3):
        with engine.begin() as conn:
            row = claim_next(conn, ["cpu", "io"], "worker", 30)
            taken.append(row and row["id"])
    assert taken == [high, low, None]


def test_claim_next_when_many_try_then_every_job_has_one_owner(engine: Engine):
    with engine.begin() as conn:
        ids = {queue_job(conn, seed=seed)["id"] for seed in range(30)}

    def claim(number: int) -> list[str]:
        taken = []
        while True:
            with engine.begin() as conn:
                row = claim_next(conn, ["cpu"], f"worker{number}", 30)
            if row is None:
                return taken
            taken.append(row["id"])

    with ThreadPoolExecutor(6) as pool:
        shares = list(pool.map(claim, range(6)))
    assert sorted(job_id for share in shares for job_id in share) == sorted(ids)
