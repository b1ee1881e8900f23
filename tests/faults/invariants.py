"""What must hold of a service after every fault: asked of its database, its files and the process table.

`check(service)` is called after each test of this folder by itself; call it in between as often as you like. It
waits for what settles by itself (a lease about to be reaped, a child about to end) and raises AssertionError with
everything that is still wrong then.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import Any, BinaryIO, Literal

import psutil
from sqlalchemy import Connection, create_engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from app.embedded.home import Home
from app.embedded.postgres import Postgres
from app.jobs.sweep import Sweeper
from app.settings import Settings
from app.store.blobs import LocalBlobs
from app.store.tables import (
    artifact,
    blob,
    dataset_version,
    job,
    job_attempt,
    job_event,
    report,
    summary,
    upload,
    worker,
)
from tests.service import Service

# Written down a second time on purpose: a mistake in app/jobs/states.py must not excuse itself.
MOVES = {
    ("created", "started"), ("created", "cancelled"),
    ("started", "requeued"), ("started", "succeeded"), ("started", "failed"), ("started", "cancelling"),
    ("requeued", "started"), ("requeued", "cancelled"),
    ("cancelling", "cancelled"), ("cancelling", "failed"),
}  # fmt: skip
STATE_AFTER = {"created": "queued", "requeued": "queued", "started": "running"}
MOVING = {name for move in MOVES for name in move}
ENDED = ("succeeded", "failed", "cancelled")
OWNED = ("running", "cancelling")
LONGEST_BACKOFF_S = 450.0
Rows = list[dict[str, Any]]


def check(service: Service, *, patience_s: float = 30.0) -> None:
    """Raise AssertionError when something of the service is lost, doubled or left behind."""
    give_up = time.monotonic() + patience_s
    while wrong := _wrong(service):
        if time.monotonic() > give_up:
            raise AssertionError(f"invariants broken ({len(wrong)}):\n  " + "\n  ".join(wrong[:50]))
        time.sleep(0.25)


@contextmanager
def database(
    service: Service, *, isolation: Literal["READ COMMITTED", "REPEATABLE READ"] = "READ COMMITTED"
) -> Iterator[Connection]:
    """A transaction in the service's own Postgres, also while its API is away."""
    engine = create_engine(
        postgres_of(service).url(),
        poolclass=NullPool,
        isolation_level=isolation,
        connect_args={"connect_timeout": 5},
    )
    try:
        with engine.begin() as conn:
            yield conn
    finally:
        engine.dispose()


def address(service: Service) -> str:
    """The service's Postgres as psycopg is told of it."""
    return postgres_of(service).url().replace("postgresql+psycopg://", "postgresql://")


def unreferenced(service: Service) -> set[str]:
    """Blobs on the disk that nothing refers to."""
    with database(service) as conn:
        named = set(conn.scalars(select(artifact.c.sha256)))
    home = Home(service.home)
    return {name for name, _ in LocalBlobs(home.blobs, home.staging).iterate()} - named


def sweep(service: Service, *, blob_grace_s: float = 86_400.0) -> int:
    """One round of the real sweeper, with everything in the staging folder made old; returns the blobs deleted.

    `blob_grace_s=0` also takes blobs stored just now: only while no job runs.
    """
    home = Home(service.home)
    blobs = LocalBlobs(home.blobs, home.staging)
    old = time.time() - 86_400
    for path in home.staging.iterdir():
        with suppress(FileNotFoundError):
            os.utime(path, (old, old))
    with database(service) as conn:
        return Sweeper(blobs, grace_s=blob_grace_s).sweep(conn)


def postgres_of(service: Service) -> Postgres:
    """The service's Postgres."""
    home = Home(service.home)
    known = home.secrets()
    return Postgres(
        home.postgres,
        password=known.postgres,
        superuser_password=known.postgres_superuser,
        application_password=known.postgres_application,
        copies=home.engines,
    )


def _wrong(service: Service) -> list[str]:
    """Everything that does not hold now."""
    try:
        with database(service, isolation="REPEATABLE READ") as conn:  # all looks see the same moment
            wrong = [line for look in LOOKS for line in look(conn, service)]
        if wrong:
            return wrong
        with database(service) as conn:
            return _staging(conn, service)
    except DBAPIError as away:
        return [f"the database cannot be asked: {away.orig}"]


def _rows(conn: Connection, statement: Any) -> Rows:
    return [dict(row) for row in conn.execute(statement).mappings()]


def histories(conn: Connection, _: Service) -> list[str]:
    """Events are 1, 2, ..., last_seq; those that move the job are a legal history that ends in its state."""
    wrong, by_job = [], defaultdict[str, Rows](list)
    # One statement, so that a job and its events are of one moment.
    both = select(job.c.id, job.c.state, job.c.last_seq, job_event.c.seq, job_event.c.type)
    for row in _rows(conn, both.join(job_event, job_event.c.job_id == job.c.id).order_by(job.c.id, job_event.c.seq)):
        by_job[row["id"]].append(row)
    for job_id in conn.scalars(select(job.c.id).where(~job.c.id.in_(list(by_job)))):
        wrong.append(f"{job_id} has no events")
    for job_id, rows in by_job.items():
        state, last = rows[0]["state"], rows[0]["last_seq"]
        if [row["seq"] for row in rows] != list(range(1, last + 1)):
            wrong.append(f"{job_id}: {len(rows)} events, the last {rows[-1]['seq']}, but last_seq is {last}")
        moves = [row["type"] for row in rows if row["type"] in MOVING]
        if moves[:1] != ["created"]:
            wrong.append(f"{job_id} does not begin with its creation: {moves}")
        illegal = [pair for pair in pairwise(moves) if pair not in MOVES]
        if illegal:
            wrong.append(f"{job_id} was moved illegally: {illegal}")
        if STATE_AFTER.get(moves[-1], moves[-1]) != state:
            wrong.append(f"{job_id} is {state} after the events {moves}")
        if moves.count("succeeded") != (state == "succeeded"):
            wrong.append(f"{job_id} is {state} and succeeded {moves.count('succeeded')} times")
        if state in ENDED and rows[-1]["type"] != state:
            wrong.append(f"{job_id} has the event {rows[-1]['type']} after its end")
    return wrong


def attempts(conn: Connection, _: Service) -> list[str]:
    """One attempt for each fence ever given; closed with an outcome, but for the one at work."""
    wrong, by_job = [], defaultdict[str, Rows](list)
    for row in _rows(conn, select(job_attempt).order_by(job_attempt.c.fence)):
        by_job[row["job_id"]].append(row)
    for row in _rows(conn, select(job)):
        tries = by_job[row["id"]]
        if [each["fence"] for each in tries] != list(range(1, row["fence"] + 1)):
            wrong.append(f"{row['id']} has the fence {row['fence']} and attempts {[each['fence'] for each in tries]}")
        counted = sum(each["outcome"] != "released" for each in tries)
        if counted != row["attempt"]:
            wrong.append(f"{row['id']} counts {row['attempt']} attempts, but there were {counted}")
        unfinished = [each["fence"] for each in tries if each["ended_at"] is None or each["outcome"] is None]
        if unfinished != ([row["fence"]] if row["state"] in OWNED else []):
            wrong.append(f"{row['id']} is {row['state']} at fence {row['fence']} with open attempts {unfinished}")
        successes = [each["fence"] for each in tries if each["outcome"] == "succeeded"]
        own = row["state"] == "succeeded" and not row["cached_from"]
        if successes != ([row["fence"]] if own else []):
            wrong.append(f"{row['id']} is {row['state']} with successes {successes} of {row['fence']} attempts")
    return wrong


def liveness(conn: Connection, service: Service) -> list[str]:
    """A job without an end holds a lease that somebody renews, or waits in a queue with a hint on its way."""
    set_ = Settings.model_construct(**{name: _setting(service, name) for name in _TIMES})
    silent = set_.lease_s + set_.reap_grace_s + 2 * set_.reap_every_s
    slow = set_.republish_s + 2 * set_.dispatch_every_s + 1.0
    late = (func.extract("epoch", func.now() - job.c.lease_until)).label("late_s")
    waits = (func.extract("epoch", func.now() - job.c.available_at)).label("waits_s")
    told = (func.extract("epoch", func.now() - job.c.published_at)).label("told_s")
    wrong = []
    for row in _rows(conn, select(job.c.id, job.c.state, late, waits, told).where(job.c.state.not_in(ENDED))):
        if row["state"] in OWNED and row["late_s"] > silent:
            wrong.append(f"{row['id']} is {row['state']} and its lease ended {row['late_s']:.1f} s ago")
        if row["state"] == "queued" and row["waits_s"] < -LONGEST_BACKOFF_S:
            wrong.append(f"{row['id']} is not to be tried for {-row['waits_s']:.0f} s")
        if row["state"] == "queued" and row["waits_s"] > slow and (row["told_s"] is None or row["told_s"] > slow):
            wrong.append(f"{row['id']} waits for {row['waits_s']:.1f} s and no worker is told of it")
    return wrong


def results(conn: Connection, _: Service) -> list[str]:
    """A succeeded job has exactly what its result names; any other job has nothing."""
    wrong = []
    made = {"summary": _rows(conn, select(summary)), "report": _rows(conn, select(report))}
    jobs = {row["id"]: row for row in _rows(conn, select(job))}
    for name, rows in made.items():
        of_job = defaultdict[str, list[str]](list)
        for row in rows:
            of_job[row["job_id"]].append(row["id"])
        for job_id, row in jobs.items():
            named = (row["result"] or {}).get(name)
            expected = [] if row["cached_from"] or row["state"] != "succeeded" or named is None else [named]
            if of_job[job_id] != expected:
                wrong.append(f"{job_id} is {row['state']}, names the {name} {named} and has {of_job[job_id]}")
            if row["cached_from"] and named not in [None, *of_job[row["cached_from"]]]:
                wrong.append(f"{job_id} names the {name} {named}, which {row['cached_from']} did not make")
    for job_id, row in jobs.items():
        if (row["state"] == "succeeded") != bool(row["result"]):
            wrong.append(f"{job_id} is {row['state']} with the result {row['result']}")
    return wrong


def versions(conn: Connection, _: Service) -> list[str]:
    """A dataset version is as far as the job that makes it."""
    expected = {"succeeded": "ready", "failed": "failed", "cancelled": "failed"}
    both = select(dataset_version.c.dataset_id, dataset_version.c.state, job.c.id, job.c.state.label("of_job"))
    return [
        f"{row['dataset_id']} is {row['state']}, but its job {row['id']} is {row['of_job']}"
        for row in _rows(conn, both.join(job, job.c.id == dataset_version.c.job_id))
        if row["state"] != expected.get(row["of_job"], "ingesting")
    ]


def blobs(conn: Connection, service: Service) -> list[str]:
    """Every artifact's bytes lie on the disk, as many as it says and with its hash; no more than that is recorded."""
    wrong = []
    store = LocalBlobs(Home(service.home).blobs, Home(service.home).staging)
    sizes = select(artifact.c.sha256, artifact.c.size, func.min(artifact.c.owner).label("owner"))
    for row in _rows(conn, sizes.group_by(artifact.c.sha256, artifact.c.size)):
        try:
            with store.open(row["sha256"]) as file:
                digest, size = _content(file)
        except FileNotFoundError:
            wrong.append(f"the blob {row['sha256']} of {row['owner']} is gone")
            continue
        if (digest, size) != (row["sha256"], row["size"]):
            wrong.append(f"the blob {row['sha256']} of {row['owner']} has other bytes ({size}, {digest})")
    wrong += [
        f"the blob {row['sha256']} has {row['size']} bytes in one table and others in another"
        for row in _rows(conn, select(blob).join(artifact).where(artifact.c.size != blob.c.size))
    ]
    return wrong


def _content(file: BinaryIO) -> tuple[str, int]:
    """Hash and length of a file; a file that was not written since it was last looked at is not read again."""
    found = os.fstat(file.fileno())
    known = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    if known not in _CONTENTS:
        _CONTENTS[known] = (hashlib.file_digest(file, "sha256").hexdigest(), file.tell())
    return _CONTENTS[known]


def processes(conn: Connection, service: Service) -> list[str]:
    """No process of this service without its parent, and no child of a worker that has nothing to do."""
    state = service.state()
    workers = set(conn.scalars(select(worker.c.pid)))
    busy = conn.scalar(select(func.count()).select_from(job).where(job.c.state.in_(OWNED))) or 0
    wrong, children = [], defaultdict[int, list[int]](list)
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            line = process.cmdline()
            if _CHILD in line and (owner := int(line[line.index(_CHILD) + 1])) in workers:
                if owner not in _ancestors(process):
                    wrong.append(f"the child {process.pid} outlived its worker {owner}")
                if process.ppid() != owner or "warm" not in line:  # not the template
                    children[owner].append(process.pid)
            elif _belongs(process, service) and state["pid"] not in _ancestors(process):
                wrong.append(f"the process {process.pid} ({' '.join(line)}) has lost its supervisor")
    spare = sum(map(len, children.values())) - len(children)
    if spare > busy:
        wrong.append(f"{busy} jobs are at work, but the children are {dict(children)}")
    wrong += [f"{name} is {part['state']}" for name, part in state["parts"].items() if part["state"] not in _UP]
    return wrong


def _staging(conn: Connection, service: Service) -> list[str]:
    """After a sweep the staging folder holds only files of jobs at work and of unfinished uploads."""
    sweep(service)
    owners = set(conn.scalars(select(job.c.id).where(job.c.state.in_(OWNED)))) | set(conn.scalars(select(upload.c.id)))
    names = [path.name for path in Home(service.home).staging.iterdir()]
    return [f"{name} is left in the staging folder" for name in names if name.partition(".")[0] not in owners]


LOOKS: tuple[Callable[[Connection, Service], list[str]], ...] = (
    histories, attempts, liveness, results, versions, blobs, processes,
)  # fmt: skip
_TIMES = ("lease_s", "reap_grace_s", "reap_every_s", "republish_s", "dispatch_every_s")
_CONTENTS: dict[tuple[int, ...], tuple[str, int]] = {}
_CHILD = "worker.runtime.child"
_UP = ("ready", "done")


def _setting(service: Service, name: str) -> float:
    given = service._environment.get(f"DISTILLERY_{name.upper()}")
    return float(given) if given is not None else Settings.model_fields[name].default


def _belongs(process: psutil.Process, service: Service) -> bool:
    return process.environ().get("DISTILLERY_HOME") == str(service.home)


def _ancestors(process: psutil.Process) -> set[int]:
    return {process.pid, *(parent.pid for parent in process.parents())}
