"""The worker process: `python -m worker.main`. Celery carries hints to it; everything else is in Postgres.

Celery's pool is threads, one a slot: a thread only supervises the child process that does the work.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import warnings
from typing import Any

import psycopg
import structlog
from celery import Celery
from celery.platforms import SecurityWarning
from celery.signals import setup_logging, worker_ready, worker_shutting_down
from kombu.exceptions import OperationalError
from sqlalchemy import Engine, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app import logs, tracing
from app.health import beat
from app.jobs.broker import PROBE, TASK, open_broker, probe_queue, waiting
from app.settings import Settings
from app.store.database import listening, open_engine
from app.store.ids import new_id
from app.store.tables import worker
from worker.runtime.announce import announce, capabilities
from worker.runtime.children import Children
from worker.runtime.slots import queues_of, slots_of
from worker.runtime.supervise import Supervisor
from worker.runtime.watchdog import Watchdog

log = structlog.get_logger()
LAST_SEEN_EVERY_S = 10.0
NOT_SAID_S = 1.0  # until it is said again, after it could not be
DEAD_CONSUMER = 70  # the exit code then


def main() -> None:
    """Serve until SIGTERM."""
    settings = Settings()  # pyright: ignore[reportCallIssue] - filled from the environment
    logs.configure("worker", settings)
    tracing.configure("worker", settings)
    setup_logging.connect(lambda **_: None, weak=False)  # whoever connects keeps Celery from doing it its own way
    queues, slots = queues_of(settings), sum(each.count for each in slots_of(settings))
    engine = open_engine(settings.database_url, pool=slots + 3, silence_s=settings.lease_s)
    worker_id = new_id("wrk")
    children = Children(threads=settings.threads, warm_spare=settings.warm_spare, spare_idle_s=settings.spare_idle_s)
    offer = children.offer()
    with engine.begin() as conn:
        announce(conn, offer.methods)
    supervisor = Supervisor(engine, settings, children, worker_id)
    app = build(settings, supervisor)
    watchdog = watch(app, settings, supervisor, worker_id)
    register_probe(app, engine, watchdog, worker_id)
    threading.Thread(target=_listen_for_cancels, args=(engine, supervisor), daemon=True).start()
    row: dict[str, Any] = {"id": worker_id, "host": socket.gethostname(), "pid": os.getpid(), "queues": queues}
    row["capabilities"] = able = capabilities(offer, settings)
    ready = threading.Event()
    threading.Thread(target=_say_alive, args=(engine, row, ready, settings.alive_file), daemon=True).start()

    def begin(**_: object) -> None:
        log.info("worker_ready", worker=worker_id, queues=queues, devices=able["devices"], lacking=able["unavailable"])
        ready.set()

    worker_ready.connect(begin, weak=False)
    worker_shutting_down.connect(lambda **_: _stop_in_background(supervisor), weak=False)
    # Celery warns root users because of pickled messages; ours are JSON, and what runs is a job id.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    try:
        app.worker_main(
            [
                "--quiet",
                "worker",
                "--pool=threads",
                f"--concurrency={slots}",
                f"--queues={','.join([*queues, probe_queue(worker_id)])}",
                f"--hostname={worker_id}@%h",
                "--loglevel=WARNING",
                "--without-gossip",
                "--without-mingle",
            ]
        )
    finally:
        if not supervisor.is_stopping:  # Celery gave up, with whatever code: whoever keeps us is to start another
            log.critical("consumer_ended", worker=worker_id)
            os._exit(DEAD_CONSUMER)


def build(settings: Settings, supervisor: Supervisor) -> Celery:
    """The Celery application with its one task of weight."""
    app = open_broker(settings.broker_url)

    def attempt(job_id: str) -> None:
        supervisor.work()

    app.task(attempt, name=TASK)
    return app


def register_probe(app: Celery, engine: Engine, watchdog: Watchdog, worker_id: str) -> None:
    """The task that shows that this worker takes messages."""

    def probe() -> None:
        watchdog.hear()
        with contextlib.suppress(DBAPIError), engine.begin() as conn:
            conn.execute(update(worker).where(worker.c.id == worker_id).values(last_probe_at=func.now()))

    app.task(probe, name=PROBE)


def watch(app: Celery, settings: Settings, supervisor: Supervisor, worker_id: str) -> Watchdog:
    """Start to look after the consumer; the process ends when it is dead, and whoever keeps it starts another."""

    def unheard() -> int:
        try:
            return waiting(app, probe_queue(worker_id))
        except (OperationalError, OSError):
            return 0

    def look() -> None:
        while True:
            time.sleep(settings.probe_silence_s / 8)
            if watchdog.is_dead():
                log.critical("consumer_dead", worker=worker_id, silent_s=settings.probe_silence_s)
                os._exit(DEAD_CONSUMER)

    watchdog = Watchdog(settings.probe_silence_s, is_busy=supervisor.is_busy, unheard=unheard)
    threading.Thread(target=look, daemon=True).start()
    return watchdog


def _listen_for_cancels(engine: Engine, supervisor: Supervisor) -> None:
    while True:
        try:
            with listening(engine, "job_cancel") as connection:
                for note in connection.notifies():
                    supervisor.cancel(note.payload)
        except (DBAPIError, psycopg.Error):
            time.sleep(1.0)  # until then the heartbeat hears of cancels


def _say_alive(engine: Engine, row: dict[str, Any], ready: threading.Event, alive_file: str) -> None:
    """Say every ten seconds that this worker lives; once it takes messages, in its row, which the first time makes."""
    said = insert(worker).values(row)
    said = said.on_conflict_do_update(index_elements=["id"], set_={"last_seen": func.now(), "stopped_at": None})
    while True:
        beat(alive_file)
        if not ready.wait(LAST_SEEN_EVERY_S):
            continue
        pause = LAST_SEEN_EVERY_S
        try:
            with engine.begin() as conn:
                conn.execute(said)
        except (DBAPIError, PoolTimeout) as error:
            log.warning("database_away", error=type(error).__name__)
            pause = NOT_SAID_S
        time.sleep(pause)


def _stop_in_background(supervisor: Supervisor) -> None:
    # Celery's signal handler must return; its pool then waits for the attempts that `stop` ends.
    threading.Thread(target=supervisor.stop, daemon=False).start()


if __name__ == "__main__":
    main()
