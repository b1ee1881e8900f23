"""Whose job is next: tenants take turns, and priority counts among the jobs of one tenant."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, insert, text, update

from app.jobs.claim import claim_next
from app.jobs.commit import Outcome, commit_result
from app.jobs.create import NewJob, create_job
from app.jobs.finish import AttemptEnd
from app.store.quotas import Quota
from app.store.tables import dataset, dataset_version, job, tenant

MANY = Quota(queued_jobs=0, queued_in_all=0)


@pytest.fixture(autouse=True)
def second_tenant_has_data(engine: Engine) -> None:
    with engine.begin() as conn:
        own = {"id": "ds_b", "tenant_id": "ten_b", "name": "b", "kind": "interactions", "latest_version": 1}
        conn.execute(insert(dataset).values(**own))
        ready = {"number": 1, "state": "ready", "content_sha256": "d" * 64}
        conn.execute(insert(dataset_version).values(dataset_id="ds_b", tenant_id="ten_b", **ready))


def queue(engine: Engine, tenant_id: str, count: int = 1, priority: int = 0) -> list[str]:
    data = {"ten_a": "ds_a@1", "ten_b": "ds_b@1"}[tenant_id]
    with engine.begin() as conn:
        new = [NewJob("tiny", data, force=True, priority=priority) for _ in range(count)]
        return [create_job(conn, tenant_id, one, quota=MANY)["id"] for one in new]


def claim(engine: Engine, *, finish: bool = True) -> tuple[str, str]:
    """The tenant and the id of the next job."""
    with engine.begin() as conn:
        row = claim_next(conn, ["cpu"], "worker", 30.0)
        assert row is not None
        if finish:
            commit_result(conn, row, Outcome(), AttemptEnd())
    return row["tenant_id"], row["id"]


def test_next_when_one_tenant_has_200_jobs_then_the_only_one_of_another_does_not_wait_for_them(engine: Engine) -> None:
    many = queue(engine, "ten_a", 200)
    first = claim(engine)
    [one] = queue(engine, "ten_b")
    assert [first, claim(engine), claim(engine)] == [("ten_a", many[0]), ("ten_b", one), ("ten_a", many[1])]


def test_next_when_both_have_many_then_they_alternate_whatever_their_priority(engine: Engine) -> None:
    queue(engine, "ten_a", 5, priority=100)
    queue(engine, "ten_b", 5, priority=-100)
    turns = [claim(engine)[0] for _ in range(10)]
    assert sorted(turns[:2]) == ["ten_a", "ten_b"]
    assert turns == turns[:2] * 5


def test_next_when_one_has_more_running_then_it_is_the_others_turn(engine: Engine) -> None:
    queue(engine, "ten_a", 3)
    assert [claim(engine, finish=False)[0] for _ in range(2)] == ["ten_a", "ten_a"]
    queue(engine, "ten_b", 3)
    assert claim(engine)[0] == "ten_b"
    assert claim(engine)[0] == "ten_b"  # it started last, and still has none running


def test_next_when_priorities_differ_then_they_order_the_jobs_of_a_tenant(engine: Engine) -> None:
    [low], [high] = queue(engine, "ten_a"), queue(engine, "ten_a", priority=5)
    assert [claim(engine)[1], claim(engine)[1]] == [high, low]


def test_next_when_the_only_job_of_a_turn_is_being_claimed_then_takes_another_tenants(engine: Engine) -> None:
    queue(engine, "ten_a")
    queue(engine, "ten_b")
    with engine.begin() as busy:
        first = claim_next(busy, ["cpu"], "worker", 30.0)
        assert first is not None
        assert {first["tenant_id"], claim(engine)[0]} == {"ten_a", "ten_b"}
        with engine.begin() as conn:
            assert claim_next(conn, ["cpu"], "worker", 30.0) is None


def test_next_when_thousands_of_tenants_wait_then_one_statement_finds_it(engine: Engine) -> None:
    """Steps through the tenants, not through their jobs; the plan shows it."""
    [first] = queue(engine, "ten_a")
    with engine.begin() as conn:
        conn.execute(insert(tenant), [{"id": f"ten_{number}", "name": f"{number}"} for number in range(300)])
        copies = (
            "INSERT INTO job (id, tenant_id, task, kind, method, method_version, dataset_id, dataset_version, queue, "
            "input_hash) SELECT tenant.id || '-' || i, tenant.id, task, kind, method, method_version, dataset_id, "
            "dataset_version, queue, tenant.id || i FROM job, tenant, generate_series(1, 10) AS i"
        )
        conn.execute(text(copies))
        conn.execute(update(job).where(job.c.id == first).values(priority=9))
    seen = {claim(engine)[0] for _ in range(302)}
    assert len(seen) == 302


def test_next_when_a_tenant_has_as_many_running_as_it_may_then_others_go_on(engine: Engine) -> None:
    mine, theirs = queue(engine, "ten_a", 3), queue(engine, "ten_b", 3)
    with engine.begin() as conn:
        conn.execute(update(tenant).where(tenant.c.id == "ten_b").values(limits={"running_jobs": 2}))
    taken = []
    for _ in range(4):
        with engine.begin() as conn:
            row = claim_next(conn, ["cpu"], "worker", 30.0, running_limit=1)
            taken.append(row and row["id"])
    assert sorted(filter(None, taken)) == sorted([mine[0], *theirs[:2]])
    with engine.begin() as conn:  # its uploads are counted apart
        conn.execute(update(job).where(job.c.id == mine[1]).values(queue="io"))
        row = claim_next(conn, ["io"], "worker", 30.0, running_limit=1)
        assert row is not None
        assert row["id"] == mine[1]
