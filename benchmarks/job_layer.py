"""The job layer beside Procrastinate on the same Postgres: claims per second, and recovery after `kill -9` of a worker.

Run: `python -m benchmarks.job_layer --peer-python peers/bin/python [--jobs 1000] [--rounds 5] [--long]`; the peer's
environment is that of `peers/job_layer.py`. Both sides get a database of one cluster (fsync and synchronous_commit
on), jobs that do nothing, and processes that run one job at a time; times are those of the events both write, by the
database's clock. Rounds alternate between the sides, and ratios are of the two halves of a round (> 1: we are better).

`claim_and_finish`: both transactions of a job by the calls the worker makes, nothing around them. Ours writes the
job, its attempt, two events, the lease and fence, and looks for webhooks; theirs the job and two events (triggers).
`whole_path`: the workers as they run in production, from the first job started to the last one finished, 1 and 4 of
them. Ours includes the dispatcher, Redis and Celery; theirs its worker.

Recovery: from `kill -9` to the next start of the held job in another worker. `default`: our settings; theirs with the
times its documentation recommends (heartbeat 10 s, stalled after 30 s) but looked for as often as ours, every 5 s.
`short`: the settings of our fault suite, and theirs set to equal times. `documented` (with --long, 10 minutes more):
as `default`, with the interval of the task in its documentation, every 10 minutes.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import insert, make_url

from app.store.database import notify, open_engine
from app.store.ids import new_id
from app.store.tables import job
from benchmarks.record import write
from tests.engines import Engines
from tests.integration.jobs.conftest import fill, queue_job

PEER = str(Path(__file__).parent / "peers" / "job_layer.py")
PAIRS = 3  # of workers killed; more would need more connections than the cluster has
PATIENCE_S = 300.0
SHORT = {"lease_s": 4, "heartbeat_s": 0.5, "reap_every_s": 0.5, "reap_grace_s": 0.5}
Process = subprocess.Popen[str]


class Ours:
    """Our side: the dispatcher runs all the time, workers come and go."""

    first, last = "started", "succeeded"
    events = "SELECT job_id, type, at FROM job_event"

    def __init__(self, url: str, broker_url: str, folder: Path, **changes: object) -> None:
        self.dsn = dsn_of(url)
        self._engine = open_engine(url)
        given = {"database_url": url, "broker_url": broker_url, "secret": "s" * 32, **changes}
        folders = {"blob_dir": folder / "blobs", "staging_dir": folder / "staging"}
        settings = {f"DISTILLERY_{name.upper()}": str(value) for name, value in {**given, **folders}.items()}
        self._env = {**os.environ, **settings}
        with self._engine.begin() as conn:
            fill(conn)
            with conn.begin_nested() as taken_back:
                first = queue_job(conn)
                taken_back.rollback()
        self._like = {name: value for name, value in first.items() if name not in ("created_at", "available_at")}

    def dispatcher(self) -> Process:
        return start([sys.executable, "-m", "app.jobs.dispatch"], self._env)

    def worker(self) -> Process:
        return start([sys.executable, "-m", "benchmarks.job_layer_worker", "serve"], self._env)

    def fetcher(self) -> Process:
        return start([sys.executable, "-m", "benchmarks.job_layer_worker", "fetch"], self._env)

    def queue(self, count: int, *, hold: bool = False) -> None:
        same = {**self._like, "last_seq": 0, "labels": {"hold": "yes"} if hold else {}}
        rows = [{**same, "id": (name := new_id("job")), "input_hash": name} for _ in range(count)]
        with self._engine.begin() as conn:
            conn.execute(insert(job), rows)
            notify(conn, "job_queued", rows[0]["id"])

    def holders(self) -> dict[str, int]:
        """Held job -> process."""
        sql = "SELECT id, worker_id FROM job WHERE state = 'running'"
        return {name: int(pid) for name, pid in query(self.dsn, sql)}


class Theirs:
    """The peer's side; its workers find their work themselves."""

    first, last = "started", "succeeded"
    events = "SELECT job_id::text, type::text, at FROM procrastinate_events"

    def __init__(self, python: Path, url: str, folder: Path, *times: str) -> None:
        self.dsn = dsn_of(url)
        self._python = str(python)
        self._held = folder / "held"
        self._held.mkdir(exist_ok=True)
        self._times = ("--held", str(self._held), *times)
        self._do("schema")

    def dispatcher(self) -> None:
        return None

    def worker(self) -> Process:
        return start([self._python, PEER, "serve", self.dsn, *self._times], dict(os.environ))

    def fetcher(self) -> Process:
        return start([self._python, PEER, "fetch", self.dsn], dict(os.environ))

    def queue(self, count: int, *, hold: bool = False) -> None:
        self._do("queue", "hold" if hold else "noop", str(count))

    def holders(self) -> dict[str, int]:
        """Held job -> process."""
        return {file.name.partition(".")[0]: int(file.suffix[1:]) for file in self._held.iterdir()}

    def _do(self, what: str, *more: str) -> None:
        subprocess.run([self._python, PEER, what, self.dsn, *more], check=True)


Side = Ours | Theirs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--peer-python", type=Path)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--long", action="store_true")
    given = parser.parse_args()
    if given.peer_python is None:
        sys.stdout.write("job_layer is left out: it compares, and there is no --peer-python\n")
        return
    version = subprocess.run([given.peer_python, PEER, "version"], stdout=subprocess.PIPE, check=True, text=True)
    figures: dict[str, Any] = {"peer": f"procrastinate {version.stdout.strip()}", "jobs": given.jobs}
    engines = Engines(fsync=True)
    engines.start()
    try:
        figures["jobs_per_s"] = throughput(engines, given.peer_python, given.jobs, given.rounds)
        pairs = min(given.rounds, PAIRS)
        figures["recovery_s"] = {
            "default": recovery(engines, given.peer_python, pairs, 5, {}, 10.0, 30.0, "* * * * * */5"),
            "short": recovery(engines, given.peer_python, pairs, 1, SHORT, 0.5, 4.5, "* * * * * *"),
        }
        if given.long:
            documented = recovery(engines, given.peer_python, pairs, 120, {}, 10.0, 30.0, "*/10 * * * *")
            figures["recovery_s"]["documented"] = documented
    finally:
        engines.close()
    write("job_layer", figures, ("sqlalchemy", "psycopg", "celery", "redis"))


@contextmanager
def sides(
    engines: Engines, python: Path, changes: dict[str, Any], *times: str
) -> Iterator[tuple[Ours, Theirs, ExitStack]]:
    """Both sides on fresh databases; processes put on the stack are killed at the end."""
    engines.flush()
    folder = engines.folder / f"bench{time.monotonic_ns()}"
    folder.mkdir()
    with engines.database() as url, engines.database(migrated=False) as peer_url:
        ours = Ours(url, engines.broker_url, folder, **changes)
        theirs = Theirs(python, peer_url, folder, *times)
        with ExitStack() as stack:
            yield ours, theirs, stack
        ours._engine.dispose()


# --- how many a second ---


def throughput(engines: Engines, python: Path, jobs: int, rounds: int) -> dict[str, Any]:
    """Jobs a second of both sides, without and with all that is around a claim, for 1 and 4 claimers."""
    figures: dict[str, Any] = {}
    with sides(engines, python, {}) as (ours, theirs, stack):
        stack.callback(kill, dispatcher := ours.dispatcher())
        for name, measure in (("claim_and_finish", fetched), ("whole_path", served)):
            for claimers in (1, 4):
                found: dict[str, list[float]] = {"ours": [], "peer": []}
                for number in range(-1, rounds):  # the first round warms both up
                    both: list[tuple[str, Side]] = [("ours", ours), ("peer", theirs)]
                    for who, side in both if number % 2 else reversed(both):
                        if name == "claim_and_finish":
                            dispatcher.send_signal(signal.SIGSTOP)
                        rate = measure(side, jobs if number >= 0 else 50, claimers)
                        dispatcher.send_signal(signal.SIGCONT)
                        if number >= 0:
                            found[who].append(rate)
                ratios = [a / b for a, b in zip(found["ours"], found["peer"], strict=True)]
                figures[f"{name}_{claimers}"] = compared(found, ratios)
    return figures


def fetched(side: Side, jobs: int, claimers: int) -> float:
    side.queue(jobs)
    processes = [side.fetcher() for _ in range(claimers)]
    try:
        return rate_of(side, jobs, lambda: [go(process) for process in processes], processes)
    finally:
        for process in processes:
            kill(process)


def served(side: Side, jobs: int, claimers: int) -> float:
    processes = [side.worker() for _ in range(claimers)]
    try:
        return rate_of(side, jobs, lambda: side.queue(jobs), processes)
    finally:
        for process in processes:
            kill(process)


def rate_of(side: Side, jobs: int, begin: Callable[[], object], processes: list[Process]) -> float:
    """Jobs a second from the first start to the last success after `begin`, which comes when all are ready."""
    for process in processes:
        hear(process, "ready")
    [(since,)] = query(side.dsn, "SELECT clock_timestamp()")
    begin()
    sql = (
        f"SELECT extract(epoch FROM max(at) FILTER (WHERE type = '{side.last}') - min(at) FILTER "
        f"(WHERE type = '{side.first}')), count(*) FILTER (WHERE type = '{side.last}') FROM ({side.events}) e "
        "WHERE at > %s"
    )
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up:
        [(seconds, done)] = query(side.dsn, sql, since)
        if done >= jobs:
            assert done == jobs
            return jobs / float(seconds)
        time.sleep(0.5)
    raise AssertionError(f"{jobs} jobs were not done within {PATIENCE_S:.0f} s")


# --- how soon it goes on ---


def recovery(
    engines: Engines,
    python: Path,
    rounds: int,
    apart_s: float,
    changes: dict[str, Any],
    heartbeat_s: float,
    stalled_s: float,
    cron: str,
) -> dict[str, Any]:
    """Seconds from `kill -9` to the next start, `rounds` pairs killed at the same moment, `apart_s` after another."""
    times = ("--heartbeat-s", str(heartbeat_s), "--stalled-s", str(stalled_s), "--cron", cron)
    with sides(engines, python, changes, *times) as (ours, theirs, stack):
        stack.callback(kill, ours.dispatcher())
        both: tuple[tuple[str, Side], ...] = (("ours", ours), ("peer", theirs))
        processes = {who: [side.worker() for _ in range(2 * rounds)] for who, side in both}
        for process in [*processes["ours"], *processes["peer"]]:
            stack.callback(kill, process)
            hear(process, "ready")
        held: dict[str, list[tuple[str, int]]] = {}
        for who, side in both:
            side.queue(rounds, hold=True)
            wait(lambda side=side: len(side.holders()) == rounds, 60)
            held[who] = sorted(side.holders().items())
        time.sleep(35.0 if not changes else 5.0)  # Postgres has been up for a lease, and heartbeats have come
        killed: dict[tuple[str, str], Any] = {}
        for number in range(rounds):
            for who, side in both:
                name, pid = held[who][number]
                os.kill(pid, signal.SIGKILL)
                [(killed[who, name],)] = query(side.dsn, "SELECT clock_timestamp()")
            time.sleep(apart_s)
        found: dict[str, list[float]] = {}
        for who, side in both:
            wait(lambda side=side, who=who: again(side, killed, who), 700)
            starts = again(side, killed, who)
            assert starts
            found[who] = [(starts[name] - killed[who, name]).total_seconds() for name, _ in held[who]]
        ratios = [b / a for a, b in zip(found["ours"], found["peer"], strict=True)]
        return compared(found, ratios)


def again(side: Side, killed: dict[tuple[str, str], Any], who: str) -> dict[str, Any] | None:
    """When each killed job started again; None before all have."""
    starts: dict[str, Any] = {}
    for name, _, at in sorted(query(side.dsn, f"{side.events} WHERE type = 'started'"), key=lambda row: row[2]):
        if (who, name) in killed and at > killed[who, name]:
            starts.setdefault(name, at)
    return starts if len(starts) == sum(side_of == who for side_of, _ in killed) else None


# --- what both need ---


def compared(found: dict[str, list[float]], ratios: list[float]) -> dict[str, Any]:
    """Medians, and the ratio (> 1: we are better) with its range over the rounds."""
    medians = {who: round(statistics.median(values), 2) for who, values in found.items()}
    ratio = {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
    return {**medians, "ratio": {name: round(value, 2) for name, value in ratio.items()}, "rounds": len(ratios)}


def start(argv: list[str], env: dict[str, str]) -> Process:
    return subprocess.Popen(
        argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def hear(process: Process, word: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == word:
            return
    raise AssertionError(f"a process ended with {process.wait()} before it was {word}")


def go(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def kill(process: Process) -> None:
    process.kill()
    process.wait()


def wait(condition: Callable[[], object], seconds: float) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.1)


def dsn_of(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def query(dsn: str, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        return connection.execute(sql.encode(), values or None).fetchall()


if __name__ == "__main__":
    main()
