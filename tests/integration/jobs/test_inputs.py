"""Further inputs of a job: checked against what the method declares, kept as given, protected while it runs."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, Engine, func, insert, select, text, update

from app.jobs.cancel import cancel_job
from app.jobs.create import NewJob, create_job
from app.jobs.errors import Refused
from app.jobs.retain import Retention
from app.store.blobs import StoredBlob, record
from app.store.datasets import live_jobs_of
from app.store.tables import artifact, dataset, dataset_version, job, method, summary
from tests.integration.jobs.conftest import PARAMETERLESS, SUMMARY

INPUTS = [
    {**SUMMARY, "name": "one", "type": "summary", "required": False},
    {**SUMMARY, "name": "several", "many": True, "required": False},
    {**SUMMARY, "name": "logs", "type": "dataset", "kind": "bandit", "required": False},
]
NEEDY = [{**SUMMARY, "name": "several", "many": True, "type": "summary"}]


@pytest.fixture
def conn(engine: Engine) -> Any:
    with engine.begin() as conn:
        for name, inputs in (("takes", INPUTS), ("needs", NEEDY)):
            conn.execute(
                insert(method).values(
                    kind="interactions", name=name, version=1, task="evaluate", summary="", paper="", device="cpu",
                    queue="cpu", params_schema=PARAMETERLESS, evaluate_schema=PARAMETERLESS, inputs=inputs,
                )
            )  # fmt: skip
        for number, kind in (("ds_b", "interactions"), ("ds_log", "bandit")):
            add_dataset(conn, number, kind)
        made = create_job(conn, "ten_a", NewJob(method="tiny", dataset="ds_a@1"))
        for name, kind in (("sum_1", "interactions"), ("sum_2", "interactions"), ("sum_log", "bandit")):
            other = create_job(conn, "ten_a", NewJob(method="tiny", dataset="ds_a@1", force=True))
            conn.execute(
                insert(summary).values(
                    id=name, tenant_id="ten_a", job_id=other["id"], kind=kind, method="tiny", content_sha256=name
                )
            )
            cancel_job(conn, "ten_a", other["id"])
        cancel_job(conn, "ten_a", made["id"])
        yield conn


def add_dataset(conn: Connection, dataset_id: str, kind: str) -> None:
    conn.execute(insert(dataset).values(id=dataset_id, tenant_id="ten_a", name="n", kind=kind, latest_version=1))
    conn.execute(
        insert(dataset_version).values(
            dataset_id=dataset_id, number=1, tenant_id="ten_a", state="ready", content_sha256=dataset_id
        )
    )


def with_inputs(conn: Connection, name: str = "takes", /, **inputs: Any) -> dict[str, Any]:
    return create_job(conn, "ten_a", NewJob(method=name, dataset="ds_a@1", inputs=inputs))


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({}, {}),
        ({"one": "sum_1"}, {"one": "sum_1"}),
        ({"several": ["sum_2", "ds_b", "sum_1"]}, {"several": ["sum_2", "ds_b@1", "sum_1"]}),
        ({"several": "sum_1"}, {"several": ["sum_1"]}),
        ({"logs": "ds_log"}, {"logs": "ds_log@1"}),
    ],
)
def test_inputs_when_as_declared_then_stored_with_versions(conn: Connection, given: Any, stored: Any) -> None:
    assert with_inputs(conn, **given)["inputs"] == stored


@pytest.mark.parametrize(
    ("given", "code", "pointer"),
    [
        ({"two": "sum_1"}, "invalid_params", "/inputs/two"),
        ({"one": "ds_b@1"}, "invalid_params", "/inputs/one"),
        ({"one": ["sum_1"]}, "invalid_params", "/inputs/one"),
        ({"one": "sum_log"}, "kind_mismatch", "/inputs/one"),
        ({"one": "sum_none"}, "unknown_summary", "/inputs/one"),
        ({"logs": "sum_log"}, "invalid_params", "/inputs/logs"),
        ({"logs": "ds_b@1"}, "kind_mismatch", "/inputs/logs"),
        ({"several": ["sum_1", "ds_log@1"]}, "kind_mismatch", "/inputs/several/1"),
        ({"several": ["sum_1", "sum_2", "sum_1"]}, "invalid_params", "/inputs/several/2"),
        ({"several": ["ds_b", "ds_b@1"]}, "invalid_params", "/inputs/several/1"),
        ({"several": ["ds_b@7"]}, "unknown_dataset", "/inputs/several/0"),
    ],
)
def test_inputs_when_not_as_declared_then_the_refusal_points_at_them(
    conn: Connection, given: Any, code: str, pointer: str
) -> None:
    with pytest.raises(Refused) as caught:
        with_inputs(conn, **given)
    assert (caught.value.code, caught.value.pointer) == (code, pointer)


@pytest.mark.parametrize("given", [{}, {"several": []}])
def test_inputs_when_a_required_one_is_missing_then_the_hint_shows_its_form(conn: Connection, given: Any) -> None:
    with pytest.raises(Refused) as caught:
        with_inputs(conn, "needs", **given)
    assert caught.value.code == "missing_input"
    assert '"inputs": {"several": ["sum_...", ...]}' in caught.value.hint


def test_input_hash_when_the_order_or_one_input_differs_then_differs(conn: Connection) -> None:
    given = (["sum_1", "sum_2"], ["sum_2", "sum_1"], ["sum_1"], ["sum_1", "sum_2", "ds_b"])
    assert len({with_inputs(conn, several=one)["input_hash"] for one in given}) == len(given)


def test_retention_when_an_unfinished_job_reads_deleted_things_in_lists_then_keeps_their_files(
    conn: Connection,
) -> None:
    for owner, path in (("sum_1", "a"), ("sum_2", "a"), ("ds_b@1", "canonical/a")):
        record(conn, "ten_a", owner, path, StoredBlob("e" * 64, 1), "text/plain")
    reader = with_inputs(conn, several=["sum_1", "ds_b"])["id"]
    assert live_jobs_of(conn, "ten_a", "ds_b") == [reader]
    long_ago = {"deleted_at": text("now() - interval '9 days'")}
    conn.execute(update(summary).values(long_ago))
    conn.execute(update(dataset).where(dataset.c.id == "ds_b").values(long_ago))
    owners = select(artifact.c.owner).order_by(artifact.c.owner)
    retention = Retention(deleted_s=3600, checkpoints_s=3600)
    retention.enforce(conn)
    assert list(conn.scalars(owners)) == ["ds_b@1", "sum_1"]
    cancel_job(conn, "ten_a", reader)
    retention.enforce(conn)
    assert list(conn.scalars(owners)) == []
    assert conn.scalar(select(func.count()).select_from(job).where(job.c.id == reader)) == 1
