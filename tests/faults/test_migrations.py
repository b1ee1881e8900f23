"""Migrations with data in the tables: there and back, beside workers of yesterday, and without holding anybody up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, inspect, text

from app.jobs.cancel import cancel_job
from app.jobs.claim import claim_job
from app.jobs.commit import Outcome, commit_result
from app.jobs.finish import AttemptEnd
from app.store.blobs import StoredBlob
from app.store.database import open_engine
from app.store.migrate import config, current_revision, head_revision, upgrade
from tests.engines import Engines
from tests.faults.invariants import database
from tests.faults.misbehaving import misbehaving
from tests.integration.jobs.conftest import fill, queue_job

pytestmark = [
    pytest.mark.faults,
    pytest.mark.fault_row(
        15,
        "migrations with data: upgrade, downgrade, upgrade; a worker of the old version; claims meanwhile",
        "nothing lost; old workers go on; nobody waits",
        target="longest wait < 1 s with a million jobs",
    ),
]
REVISIONS = [script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()][::-1]


def move(url: str, revision: str, *, back: bool = False) -> None:
    """Bring a database to a revision."""
    engine = create_engine(url)
    with engine.connect() as conn:
        settings = config()
        settings.attributes["connection"] = conn
        (command.downgrade if back else command.upgrade)(settings, revision)
        conn.commit()
        assert current_revision(conn) == revision
    engine.dispose()


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    engine = open_engine(url)
    try:
        yield engine
    finally:
        engine.dispose()


def contents(engine: Engine) -> dict[str, tuple[int, str]]:
    """Rows and a hash of the contents of every table, over the columns that the first schema has."""
    found = {}
    with engine.connect() as conn:
        for table in inspect(conn).get_table_names():
            names = [column["name"] for column in inspect(conn).get_columns(table)]
            names = [name for name in names if (table, name) not in ADDED]
            listed = ", ".join(f't."{name}"' for name in names)
            row = f"md5(string_agg(ROW({listed})::text, '|' ORDER BY ROW({listed})::text))"
            found[table] = tuple(conn.execute(text(f"SELECT count(*), coalesce({row}, '') FROM \"{table}\" t")).one())
    found.pop("alembic_version")
    found.pop("audit", None)  # a later table: a downgrade takes it away with what is in it
    return found


ADDED = {
    ("tenant", "limits"),
    ("method", "needs"),
    ("job_attempt", "gpu_s"),
    ("job", "deleted_at"),
    ("job", "cut"),
    ("tenant", "erasing_at"),
    ("api_key", "made_by"),
}
"""Columns that tables of the first schema got later; a downgrade takes them away with what is in them."""


def lives(conn: Connection) -> None:
    """Jobs of every state, made by the code that makes them."""
    fill(conn)
    end = AttemptEnd()
    stored = {"rows.npz": StoredBlob("a" * 64, 7)}
    for seed, state in enumerate(("queued", "running", "cancelling", "succeeded", "cancelled")):
        row: Any = queue_job(conn, seed=seed)
        if state != "queued":
            row = claim_job(conn, row["id"], "worker", 30.0)
        if state == "succeeded":
            assert commit_result(conn, row, Outcome(summary=stored, report=stored), end)
        if state in ("cancelling", "cancelled"):
            cancel_job(conn, "ten_a", row["id"])
    cancel_job(conn, "ten_a", queue_job(conn, seed=9)["id"])


def test_rows_when_migrated_back_step_by_step_and_up_again_then_all_are_there(engines: Engines):
    with engines.database() as url:
        with opened(url) as engine:
            with engine.begin() as conn:
                lives(conn)
            before = contents(engine)
        for revision in REVISIONS[-2::-1]:
            move(url, revision, back=True)
            with opened(url) as engine:
                left = contents(engine)
            assert left.items() <= before.items(), f"rows changed on the way back to {revision}"
        assert left["job"][0] == 6
        for revision in REVISIONS[1:]:
            move(url, revision)
        with opened(url) as engine:
            assert contents(engine) == before
            with engine.begin() as conn:  # and it still works
                row = queue_job(conn, seed=100)
                assert claim_job(conn, row["id"], "worker", 30.0)


def shape(engine: Engine) -> dict[tuple[str, str], dict[str, Any]]:
    with engine.connect() as conn:
        seen = inspect(conn)
        return {(name, one["name"]): dict(one) for name in seen.get_table_names() for one in seen.get_columns(name)}


def test_downgrade_when_equal_work_waits_with_two_limits_then_one_no_longer_stands_for_it(engines: Engines):
    with engines.database() as url:
        with opened(url) as engine, engine.begin() as conn:
            fill(conn)
            ids = [queue_job(conn, limits={"time_s": time_s})["id"] for time_s in (60, 600)]
        move(url, "0005", back=True)
        with opened(url) as engine, engine.connect() as conn:
            assert dict(conn.execute(text("SELECT id, force FROM job")).all()) == {ids[0]: False, ids[1]: True}


@pytest.mark.parametrize(("older", "newer"), list(pairwise(REVISIONS)))
def test_migration_when_applied_then_statements_of_older_code_still_work(engines: Engines, older: str, newer: str):
    """No column goes, changes its type or becomes compulsory, and what is new need not be given."""
    with engines.database(migrated=False) as url:
        move(url, older)
        with opened(url) as engine:
            before = shape(engine)
        move(url, newer)
        with opened(url) as engine:
            after = shape(engine)
    for place, column in before.items():
        assert place in after, f"{place} is gone"
        assert str(after[place]["type"]) == str(column["type"]), place
        assert after[place]["nullable"] or not column["nullable"], f"{place} has become compulsory"
        assert (after[place]["default"] is None) == (column["default"] is None), place
    old_tables = {table for table, _ in before}
    for (table, name), column in after.items():
        if table in old_tables and (table, name) not in before:
            assert column["nullable"] or column["default"] is not None, f"{table}.{name} must be given"


def test_worker_when_the_schema_moves_on_under_it_then_goes_on():
    """The next migration, whatever it adds, comes while the worker, the API and the dispatcher of today are running."""
    with misbehaving() as at:
        worker = at.service.pid("worker")
        assert at.finish(at.start("no-op"))["state"] == "succeeded"
        at_work = at.start("dawdle", {"steps": 60})
        at.wait_for(at_work, "running")
        with database(at.service) as conn:
            tables = [name for name in inspect(conn).get_table_names() if name != "alembic_version"]
            for table in tables:
                conn.execute(text(f"ALTER TABLE \"{table}\" ADD COLUMN added_later TEXT NOT NULL DEFAULT 'x'"))
                conn.execute(text(f'CREATE INDEX "ix_{table}_added_later" ON "{table}" (added_later)'))
            conn.execute(text("CREATE TABLE new_thing (job_id TEXT REFERENCES job (id))"))
            conn.execute(text("UPDATE alembic_version SET version_num = 'next'"))
        for job_id in [at_work, *(at.start("no-op") for _ in range(3))]:
            job = at.finish(job_id)
            assert (job["state"], job["attempt"]) == ("succeeded", 1)
        cancelled = at.start("dawdle", {"steps": 1000})
        at.wait_for(cancelled, "running")
        at.http.post(f"/v1/jobs/{cancelled}/cancel").raise_for_status()
        assert at.finish(cancelled)["state"] == "cancelled"
        assert at.service.pid("worker") == worker


# A job as it is after its end, with what belongs to it, in the columns of the first schema.
MANY_JOBS = """
    INSERT INTO blob (sha256, size) SELECT lpad(to_hex(n), 64, '0'), 1 FROM generate_series(1, 1000) n;
    INSERT INTO job (id, tenant_id, task, kind, method, method_version, dataset_id, dataset_version, params, queue,
                     input_hash, state, fence, attempt, last_seq, finished_at, result)
        SELECT 'job_' || n, 'ten_a', 'select', 'interactions', 'tiny', 1, 'ds_a', 1, '{"budget": 5}', 'cpu',
               md5(n::text), 'succeeded', 1, 1, 3, now() - n * interval '1 second', '{}'
        FROM generate_series(1, %(jobs)s) n;
    INSERT INTO artifact (owner, path, tenant_id, sha256, size, media_type)
        SELECT 'rep_' || n, 'report.json', 'ten_a', lpad(to_hex(1 + n %% 1000), 64, '0'), 1, 'application/json'
        FROM generate_series(1, %(jobs)s) n;
    INSERT INTO job (id, tenant_id, task, kind, method, method_version, dataset_id, dataset_version, queue, input_hash)
        SELECT 'waiting_' || n, 'ten_a', 'select', 'interactions', 'tiny', 1, 'ds_a', 1, 'cpu', 'w' || n
        FROM generate_series(1, least(%(jobs)s, 100000)) n;
"""
# What a claim and a commit write, as statements that suit every revision.
CLAIM = """
    UPDATE job SET state = 'running', fence = 1, attempt = 1, lease_until = now() + interval '1 hour', last_seq = 1
        WHERE id = %(id)s AND state = 'queued';
    INSERT INTO job_event (job_id, seq, tenant_id, type) VALUES (%(id)s, 1, 'ten_a', 'started');
    INSERT INTO job_attempt (job_id, fence, tenant_id, attempt, worker_id) VALUES (%(id)s, 1, 'ten_a', 1, 'worker')
"""
COMMIT = """
    SELECT id FROM tenant WHERE id = 'ten_a' FOR UPDATE;
    UPDATE job SET state = 'succeeded', lease_until = NULL, finished_at = now(), last_seq = 2 WHERE id = %(id)s;
    INSERT INTO job_event (job_id, seq, tenant_id, type) VALUES (%(id)s, 2, 'ten_a', 'succeeded');
    INSERT INTO artifact (owner, path, tenant_id, sha256, size, media_type)
        VALUES (%(id)s, 'x', 'ten_a', lpad('1', 64, '0'), 1, '')
"""


class Prober:
    """Claims and commits one job after the other; remembers the longest that one of these transactions took."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._probe)
        self.longest_s, self.done = 0.0, 0
        self.error: Exception | None = None

    def __enter__(self) -> Prober:
        self._thread.start()
        while self.done < 20 and self.error is None:
            time.sleep(0.01)
        self.longest_s = 0.0
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        assert self.error is None, self.error

    def _probe(self) -> None:
        try:
            with self._engine.connect() as conn:
                while not self._over.is_set():
                    self.done += 1
                    for what in (CLAIM, COMMIT):
                        begun = time.monotonic()
                        for statement in what.split(";"):
                            conn.exec_driver_sql(statement, {"id": f"waiting_{self.done}"})
                        conn.commit()
                        self.longest_s = max(self.longest_s, time.monotonic() - begun)
        except Exception as error:
            self.error = error


@pytest.mark.parametrize("older", REVISIONS[:-1])
@pytest.mark.parametrize("jobs", [20_000, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_upgrade_when_workers_claim_meanwhile_then_nobody_waits_for_a_second(
    engines: Engines, older: str, jobs: int, measured
):
    with engines.database(migrated=False) as url, opened(url) as engine:
        move(url, older)
        with engine.begin() as conn:
            first_fill(conn)
            for statement in MANY_JOBS.strip().rstrip(";").split(";"):
                conn.exec_driver_sql(statement, {"jobs": jobs})
        with Prober(engine) as prober:
            time.sleep(0.5)
            usual_s, prober.longest_s, before = prober.longest_s, 0.0, prober.done
            begun = time.monotonic()
            upgrade(url)
            took_s, longest_s, claims = time.monotonic() - begun, prober.longest_s, prober.done - before
        with engine.connect() as conn:
            assert current_revision(conn) == head_revision()
            assert conn.scalar(text("SELECT bool_and(indisvalid) FROM pg_index")), "an index is only half there"
    assert claims > 0
    print(
        f"{older} with {jobs} jobs: {took_s:.1f} s, {claims} claims, longest {longest_s:.3f} s, usual {usual_s:.3f} s"
    )
    measured(f"longest wait, {jobs} jobs", longest_s, "s", target=1.0)


def first_fill(conn: Connection) -> None:
    """The rows that a job refers to, as the first schema has them."""
    conn.exec_driver_sql("INSERT INTO tenant (id, name) VALUES ('ten_a', 'a')")
    conn.exec_driver_sql(
        "INSERT INTO dataset (id, tenant_id, name, kind) VALUES ('ds_a', 'ten_a', 'a', 'interactions')"
    )
    conn.exec_driver_sql(
        "INSERT INTO dataset_version (dataset_id, number, tenant_id, state, content_sha256)"
        " VALUES ('ds_a', 1, 'ten_a', 'ready', 'c')"
    )


def test_upgrade_when_several_start_at_once_then_each_ends_well(engines: Engines):
    """Every process of a new version may migrate at its start; an index is built beside those who wait for it."""
    with engines.database(migrated=False) as url:
        errors: list[Exception] = []

        def start() -> None:
            try:
                upgrade(url)
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=start) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        with opened(url) as engine, engine.connect() as conn:
            assert current_revision(conn) == head_revision()
