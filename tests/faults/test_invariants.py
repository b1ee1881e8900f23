"""The checker of every other test here notices each kind of harm, done in a transaction that is taken back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import text

from app.embedded.home import Home
from tests.faults import invariants
from tests.faults.conftest import QUICK, Ground
from tests.faults.invariants import check, database

pytestmark = pytest.mark.faults
JOB = "(SELECT id FROM job WHERE method = 'distill-cf' AND state = 'succeeded' ORDER BY created_at LIMIT 1)"


def copied(changes: str) -> str:
    """SQL for a job like another one, with changes as JSON."""
    copy = f"""'{{"id": "job_x", "finished_at": null}}'::jsonb || '{changes}'::jsonb"""
    return f"INSERT INTO job SELECT (jsonb_populate_record(job, {copy})).* FROM job WHERE id = {JOB}"


@pytest.mark.parametrize(
    ("look", "harm", "said"),
    [
        (invariants.histories, f"DELETE FROM job_event WHERE job_id = {JOB} AND seq = 2", "last_seq is"),
        (invariants.histories, f"DELETE FROM job_event WHERE job_id = {JOB} AND type = 'started'", "moved illegally"),
        (invariants.histories, f"DELETE FROM job_event WHERE job_id = {JOB} AND type = 'succeeded'", "0 times"),
        (invariants.histories, f"DELETE FROM job_event WHERE job_id = {JOB}", "has no events"),
        (invariants.attempts, f"UPDATE job_attempt SET outcome = NULL WHERE job_id = {JOB}", "open attempts [1]"),
        (invariants.attempts, f"UPDATE job_attempt SET ended_at = NULL WHERE job_id = {JOB}", "open attempts [1]"),
        (invariants.attempts, f"UPDATE job_attempt SET outcome = 'lost' WHERE job_id = {JOB}", ""),
        (invariants.attempts, f"UPDATE job SET fence = fence + 1 WHERE id = {JOB}", "has the fence 2"),
        (invariants.results, f"DELETE FROM summary WHERE job_id = {JOB}", "names the summary"),
        (invariants.results, f"DELETE FROM report WHERE job_id = {JOB}", "names the report"),
        (invariants.results, f"UPDATE job SET result = NULL WHERE id = {JOB}", "with the result None"),
        (invariants.versions, "UPDATE dataset_version SET state = 'failed' WHERE job_id IS NOT NULL", "is failed"),
        (invariants.blobs, "UPDATE artifact SET size = size + 1", "other bytes"),
        (invariants.liveness, copied('{"state": "running", "lease_until": "2020-01-01"}'), "its lease ended"),
        (invariants.liveness, copied('{"state": "queued", "available_at": "2020-01-01"}'), "no worker is told"),
    ],
)
def test_look_when_something_is_wrong_then_it_is_named(ground: Ground, look, harm: str, said: str):
    with database(ground.service) as conn:
        assert look(conn, ground.service) == []
        done = conn.exec_driver_sql(harm)
        assert done.rowcount
        wrong = look(conn, ground.service)
        conn.rollback()
    assert wrong
    assert any(said in line for line in wrong), wrong


def test_check_when_a_stored_byte_is_flipped_then_says_which_file(ground: Ground):
    with ground.service.http as http:
        body = {"method": "random-users", "dataset": ground.dataset, "params": {"budget": 20}, "evaluate": QUICK}
        ground.finish(http.post("/v1/jobs", json=body).json()["id"])
    with database(ground.service) as conn:
        name = conn.scalar(text("SELECT sha256 FROM artifact WHERE owner LIKE 'sum_%' LIMIT 1"))
    path = Home(ground.service.home).blobs / "sha256" / name[:2] / name
    whole = path.read_bytes()
    write(path, bytes([whole[0] ^ 1]) + whole[1:])
    try:
        with pytest.raises(AssertionError, match=name):
            check(ground.service, patience_s=0)
    finally:
        write(path, whole)
    check(ground.service)


def write(path: Path, content: bytes) -> None:
    path.chmod(0o640)
    path.write_bytes(content)
    path.chmod(0o440)


def test_sweep_when_a_dead_attempt_left_files_then_they_go_and_those_of_live_jobs_stay(ground: Ground):
    staging = Home(ground.service.home).staging
    job_id = ground.start_job()
    ground.wait_for_step(job_id, 10)
    (staging / "job_gone" / "1" / "out").mkdir(parents=True)
    (staging / "job_gone" / "1" / "out" / "half").write_bytes(os.urandom(100))
    invariants.sweep(ground.service)
    assert [path.name for path in staging.iterdir()] == [job_id]
    ground.finish_undisturbed(job_id)
