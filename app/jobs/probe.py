"""Probes: whether the workers still take messages, which is more than being alive.

A consumer that lost its broker for good, or hangs, leaves its process alive with every lease renewed and no message
taken. So each idle worker gets a probe in a queue of its own now and then; what it does when none is heard is in
`worker.runtime.watchdog`. Busy workers are left out: one whose slots are taken takes no message, and does no harm.
"""

from __future__ import annotations

from celery import Celery
from sqlalchemy import Engine, func, select, update

from app.jobs.broker import drop_queue, probe_queue, send_probe
from app.jobs.states import lease
from app.store.tables import job, worker

GONE_S = 120.0  # a worker says every 10 s that it is alive


def probe_idle_workers(engine: Engine, broker: Celery) -> int:
    """Send each idle worker a probe, and forget workers that are gone; returns the number of probes."""
    silent = worker.c.last_seen < lease(-GONE_S)
    at_work = select(job.c.id).where(job.c.worker_id == worker.c.id, job.c.state.in_(("running", "cancelling")))
    with engine.begin() as conn:
        gone = update(worker).where(worker.c.stopped_at.is_(None), silent).values(stopped_at=func.now())
        for worker_id in conn.scalars(gone.returning(worker.c.id)).all():
            drop_queue(broker, probe_queue(worker_id))
        idle = select(worker.c.id).where(worker.c.stopped_at.is_(None), ~silent, ~at_work.exists())
        ids = conn.scalars(idle).all()
    for worker_id in ids:
        send_probe(broker, worker_id)
    return len(ids)
