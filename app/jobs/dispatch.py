"""The dispatcher: publishes hints about queued jobs to the broker and reaps silent owners.

Any number may run. Losing or doubling a hint changes nothing: a worker claims in Postgres, and what stays queued is
published again. Run it with `python -m app.jobs.dispatch`.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import psycopg
import structlog
from celery import Celery
from sqlalchemy import Connection, Engine, func, or_, select, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app import logs, tracing
from app.health import beat
from app.jobs.broker import ERRORS, LONGEST_PAUSE_S, forgot_hints, mark_hints, open_broker, publish, waiting
from app.jobs.probe import probe_idle_workers
from app.jobs.reap import Reaper
from app.jobs.retain import Retention, drop_expired_uploads
from app.jobs.states import lease
from app.jobs.sweep import Sweeper
from app.settings import Settings
from app.store.blobs import StoreUnavailable
from app.store.database import listening, open_engine
from app.store.idempotency import forget_expired
from app.store.open_blobs import open_blobs, open_direct
from app.store.tables import job
from app.store.webhooks import forget_old
from app.webhooks.deliver import Deliverer

log = structlog.get_logger()
BATCH = 100


class Due(NamedTuple):
    """A job that may be claimed, where, in which trace, and whether it was hinted at before."""

    id: str
    queue: str
    traceparent: str | None
    again: bool


def due_jobs(conn: Connection, republish_s: float) -> list[Due]:
    """Up to 100 jobs whose hint is to be sent now; marked as published in this transaction."""
    rows = conn.execute(
        select(job.c.id, job.c.queue, job.c.traceparent, job.c.published_at.is_not(None))
        .where(
            job.c.state == "queued",
            job.c.available_at <= func.now(),
            or_(job.c.published_at.is_(None), job.c.published_at < lease(-republish_s)),
        )
        .order_by(job.c.priority.desc(), job.c.created_at)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    ).all()
    if rows:
        conn.execute(update(job).where(job.c.id.in_([row.id for row in rows])).values(published_at=func.now()))
    return [Due(*row) for row in rows]


def republish_if_forgotten(engine: Engine, broker: Celery) -> bool:
    """Make every queued job due when the broker came back empty, so that none waits out `republish_s`."""
    if not forgot_hints(broker):
        return False
    with engine.begin() as conn:
        conn.execute(update(job).where(job.c.state == "queued").values(published_at=None))
    mark_hints(broker)
    return True


def publish_due(engine: Engine, broker: Celery, republish_s: float) -> int:
    """Send every due hint; those that the broker does not take stay due.

    A hint goes out when nothing holds its job any more: a worker is quicker than a commit, and passes over jobs that
    are held. It is sent again only into an empty queue: any other that waits there makes its worker claim this job.
    """
    sent = 0
    while True:
        with engine.begin() as conn:
            batch = due_jobs(conn, republish_s)
        try:
            served = {queue for queue in {due.queue for due in batch if due.again} if waiting(broker, queue)}
            hints = [due for due in batch if not (due.again and due.queue in served)]
            for due in hints:
                with tracing.span("publish", parent=due.traceparent, job_id=due.id, queue=due.queue):
                    publish(broker, due.id, due.queue)
        except ERRORS:
            with engine.begin() as conn:
                unsent = job.c.id.in_([due.id for due in batch])
                conn.execute(update(job).where(unsent, job.c.state == "queued").values(published_at=None))
            raise
        sent += len(hints)
        if len(batch) < BATCH:
            return sent


def serve(settings: Settings, stopping: threading.Event) -> None:
    """Dispatch, reap and sweep until `stopping` is set; outages of Postgres and of the broker are waited out."""
    engine = open_engine(settings.database_url, pool=3, silence_s=settings.lease_s)
    broker = open_broker(settings.broker_url)
    rounds = _rounds(settings, engine, broker)
    threads = [threading.Thread(target=_repeat, args=(*each, stopping), daemon=True) for each in rounds]
    woken = threading.Event()
    threads.append(threading.Thread(target=_listen, args=(engine, woken, stopping), daemon=True))
    for thread in threads:
        thread.start()
    pause = 0.0
    while not stopping.is_set():
        beat(settings.alive_file)
        try:
            if republish_if_forgotten(engine, broker):
                log.info("broker_was_empty")
            publish_due(engine, broker, settings.republish_s)
            pause = 0.0
        except (*ERRORS, SQLAlchemyError) as error:
            pause = min(LONGEST_PAUSE_S, pause * 2 or 1.0)
            log.warning("dispatch_paused", error=type(error).__name__, pause_s=pause)
        # New jobs are no reason to try again sooner while the broker or Postgres is away.
        (stopping if pause else woken).wait(pause or settings.dispatch_every_s)
        woken.clear()
    engine.dispose()


def _rounds(settings: Settings, engine: Engine, broker: Celery) -> list[tuple[Callable[[], object], float]]:
    reaper = Reaper(lease_s=settings.lease_s, grace_s=settings.reap_grace_s)
    sweeper = Sweeper(open_blobs(settings), grace_s=settings.blob_grace_s)

    def reap() -> None:
        with engine.begin() as conn:
            if count := reaper.sweep(conn):
                log.warning("leases_expired", count=count)

    retention = Retention.of(settings)
    direct = open_direct(settings)

    def sweep() -> None:
        if direct is not None:
            direct.forget_older(settings.blob_grace_s)
        with engine.begin() as conn:
            retention.enforce(conn)
            drop_expired_uploads(conn, settings.staging_dir)
        with engine.begin() as conn:
            sweeper.sweep(conn)
            forget_expired(conn)
            forget_old(conn, keep_s=settings.webhook_keep_s)

    def probe() -> None:
        probe_idle_workers(engine, broker)

    deliverer = Deliverer.of(settings, engine)
    return [
        (reap, settings.reap_every_s),
        (sweep, settings.sweep_every_s),
        (probe, settings.probe_every_s),
        (deliverer.round, settings.webhook_every_s),
    ]


def _repeat(work: Callable[[], object], every_s: float, stopping: threading.Event) -> None:
    while not stopping.wait(every_s):
        try:
            work()
        except (*ERRORS, SQLAlchemyError, StoreUnavailable) as error:  # also: no connection in time
            log.warning("round_skipped", work=work.__name__, error=type(error).__name__)


def _listen(engine: Engine, woken: threading.Event, stopping: threading.Event) -> None:
    while not stopping.is_set():
        try:
            with listening(engine, "job_queued") as connection:
                while not stopping.is_set():
                    for _ in connection.notifies(timeout=5.0, stop_after=1):
                        woken.set()
        except (DBAPIError, psycopg.Error):
            time.sleep(1.0)


def main() -> None:
    """Run until SIGTERM."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    settings = Settings()  # pyright: ignore[reportCallIssue] - filled from the environment
    logs.configure("dispatcher", settings)
    tracing.configure("dispatcher", settings)
    log.info("dispatcher_started")
    serve(settings, stopping)
    log.info("dispatcher_stopped")


if __name__ == "__main__":
    main()
