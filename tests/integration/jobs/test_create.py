"""Creating jobs: checks, the cache, and identical live work."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, func, select

from app.jobs.claim import claim_job
from app.jobs.commit import Outcome, commit_result
from app.jobs.create import NewJob, create_job
from app.jobs.errors import Refused
from app.jobs.finish import AttemptEnd
from app.jobs.retry import retry_job
from app.store.quotas import Quota
from app.store.tables import job
from tests.integration.jobs.conftest import event_types, queue_job


def refusal(engine: Engine, tenant: str = "ten_a", **changes: object) -> Refused:
    with engine.begin() as conn, pytest.raises(Refused) as caught:
        create_job(conn, tenant, NewJob(**{"method": "tiny", "dataset": "ds_a@1", **changes}))
    return caught.value


def test_create_fills_defaults_and_queues(engine: Engine):
    with engine.begin() as conn:
        row = queue_job(conn)
        assert (row["state"], row["params"], row["task"]) == ("queued", {"budget": 5}, "select")
        assert event_types(conn, row["id"]) == ["created"]


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({"params": {"budget": 0}}, "invalid_params", "/params/budget"),
        ({"params": {"budgte": 3}}, "invalid_params", "/params/budgte"),
        ({"method": "tyni"}, "unknown_method", "/method"),
        ({"method": "ingest"}, "unknown_method", "/method"),
        ({"task": "distil"}, "task_mismatch", "/task"),
        ({"dataset": "ds_a@2"}, "unknown_dataset", "/dataset"),
        ({"method": "evaluate"}, "missing_input", "/inputs/summary"),
        ({"method": "evaluate", "inputs": {"summary": "sum_x"}}, "unknown_summary", "/inputs/summary"),
        ({"inputs": {"summary": "sum_x"}}, "invalid_params", "/inputs/summary"),
        ({"device": "cuda"}, "unsupported_device", "/device"),
    ],
)
def test_create_when_the_request_is_wrong_then_points_at_the_field(engine: Engine, changes, code, pointer):
    refused = refusal(engine, **changes)
    assert (refused.code, refused.pointer) == (code, pointer)


def test_create_when_a_name_is_misspelt_then_suggests_the_right_one(engine: Engine):
    assert "budget" in refusal(engine, params={"budgte": 3}).hint
    assert "tiny" in refusal(engine, method="tyni").hint


def test_create_when_the_dataset_is_another_tenants_then_it_does_not_exist(engine: Engine):
    assert refusal(engine, tenant="ten_b").code == "unknown_dataset"


def test_create_when_the_same_work_is_waiting_then_answers_with_it(engine: Engine):
    with engine.begin() as conn:
        first, second, other = queue_job(conn), queue_job(conn), queue_job(conn, seed=1)
        assert first["id"] == second["id"] != other["id"]
        assert queue_job(conn, force=True)["id"] != first["id"]


def test_create_when_the_same_work_is_done_then_answers_from_cache(engine: Engine):
    with engine.begin() as conn:
        first = queue_job(conn)
        owned = claim_job(conn, first["id"], "w", 30)
        commit_result(conn, owned, Outcome(environment={"python": "3"}), AttemptEnd())
        again = queue_job(conn)
        assert (again["state"], again["cached_from"]) == ("succeeded", first["id"])
        assert event_types(conn, again["id"]) == ["created", "started", "succeeded"]
        assert queue_job(conn, force=True)["state"] == "queued"


@pytest.mark.parametrize(
    ("cut", "limits", "cached"),
    [
        ({}, {"time_s": 10}, True),
        ({"time_s": 12.0}, {"time_s": 12}, True),
        ({"time_s": 12.0}, {"time_s": 10, "evaluate_s": 600}, True),
        ({"time_s": 12.0}, {"time_s": 600}, False),
        ({"time_s": 12.0}, {}, False),
        ({"evaluate_s": 30.0}, {"time_s": 10, "evaluate_s": 30}, True),
        ({"evaluate_s": 30.0}, {"time_s": 10}, False),
    ],
)
def test_create_when_a_limit_cut_the_same_work_then_it_answers_no_larger_one(engine: Engine, cut, limits, cached):
    with engine.begin() as conn:
        owned = claim_job(conn, queue_job(conn)["id"], "w", 30)
        commit_result(conn, owned, Outcome(cut=cut), AttemptEnd())
        again = queue_job(conn, limits=limits)
        assert (again["state"], again["cut"]) == (("succeeded", cut) if cached else ("queued", {}))


def test_create_when_the_same_work_was_cut_and_done_whole_then_answers_with_the_whole(engine: Engine):
    with engine.begin() as conn:
        whole = queue_job(conn)
        commit_result(conn, claim_job(conn, whole["id"], "w", 30), Outcome(), AttemptEnd())
        cut = claim_job(conn, queue_job(conn, force=True)["id"], "w", 30)
        commit_result(conn, cut, Outcome(cut={"time_s": 10.0}), AttemptEnd())
        assert queue_job(conn, limits={"time_s": 10})["cached_from"] == whole["id"]


@pytest.mark.parametrize(
    ("own", "limits", "shared"),
    [
        ({"time_s": 600}, {"time_s": 600}, True),
        ({"time_s": 600}, {"time_s": 60}, True),
        ({"time_s": 60}, {"time_s": 600}, False),
        ({"time_s": 60}, {}, False),
        ({}, {"time_s": 3600}, True),
        ({"memory_mb": 100}, {}, False),
    ],
)
def test_create_when_the_same_work_waits_with_less_time_then_is_other_work(engine: Engine, own, limits, shared):
    with engine.begin() as conn:
        first = queue_job(conn, limits=own)
        assert (queue_job(conn, limits=limits)["id"] == first["id"]) is shared


def test_create_when_only_one_must_be_deterministic_then_they_are_not_the_same_work(engine: Engine):
    with engine.begin() as conn:
        assert queue_job(conn)["input_hash"] != queue_job(conn, deterministic=True)["input_hash"]


def test_create_when_only_validating_then_stores_nothing(engine: Engine):
    with engine.begin() as conn:
        row = create_job(conn, "ten_a", NewJob(method="tiny", dataset="ds_a"), validate_only=True)
        assert row["dataset_version"] == 1
        assert conn.scalar(select(func.count()).select_from(job)) == 0


def test_create_when_too_many_wait_then_refuses(engine: Engine):
    with engine.begin() as conn:
        create_job(conn, "ten_a", NewJob(method="tiny", dataset="ds_a"), quota=Quota(queued_jobs=1))
        with pytest.raises(Refused) as caught:
            create_job(conn, "ten_a", NewJob(method="tiny", dataset="ds_a", seed=2), quota=Quota(queued_jobs=1))
    assert caught.value.code == "queue_full"


@pytest.mark.parametrize("validate_only", [True, False])
@pytest.mark.parametrize(("name", "given"), [("time_s", 3601), ("evaluate_s", 3601), ("memory_mb", 1001)])
def test_create_when_a_limit_is_above_what_jobs_may_have_then_refused(
    engine: Engine, name: str, given: int, validate_only: bool
):
    quota = Quota(job_s=3600, job_memory_mb=1000)
    with engine.begin() as conn:
        new = NewJob("tiny", "ds_a", limits={name: given})
        with pytest.raises(Refused) as caught:
            create_job(conn, "ten_a", new, quota=quota, validate_only=validate_only)
        assert (caught.value.code, caught.value.pointer) == ("limit_too_large", f"/limits/{name}")
        create_job(conn, "ten_a", NewJob("tiny", "ds_a", limits={name: given - 1}), quota=quota)


def test_retry_when_the_job_still_runs_then_refuses(engine: Engine):
    with engine.begin() as conn:
        row = queue_job(conn)
        with pytest.raises(Refused) as caught:
            retry_job(conn, "ten_a", row["id"])
    assert caught.value.code == "job_not_finished"
