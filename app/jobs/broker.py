"""Celery as the carrier of hints: the settings both ends share, and the two messages there are."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from kombu.connection import Connection
from kombu.exceptions import OperationalError
from redis import Redis, RedisError

TASK = "distillery.attempt"
PROBE = "distillery.probe"
ERRORS = (OperationalError, RedisError, OSError)
"""What may come of talking to a broker that is away, or that has no room."""
LONGEST_PAUSE_S = 5.0  # between two tries to reach a broker that is away
_MARK = "distillery:holds-hints"


class _Patient(Connection):
    """Tries for ever, with pauses that stay short: Kombu's grow to half a minute, in which a queue stands still."""

    def ensure_connection(self, *args: Any, **kwargs: Any) -> Any:
        pauses = {"interval_start": 1.0, "interval_step": 1.0, "interval_max": LONGEST_PAUSE_S}
        return super().ensure_connection(*args, **{**pauses, **kwargs})


def open_broker(url: str) -> Celery:
    """The Celery application. Early ack and no results: Postgres is the truth, redelivery is never relied on."""
    app = Celery("distillery", broker=url)
    app.amqp.Connection = _Patient
    app.conf.update(
        task_acks_late=False,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_publish_retry=False,
        task_default_queue="cpu",
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,  # also what the broker answers with when its disk is full
        broker_transport_options={
            "socket_timeout": 30,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "health_check_interval": 25,
            "visibility_timeout": 3600,
            "connect_retries_timeout": 1,  # of the dispatcher, which has its own pauses
        },
    )
    return app


def publish(app: Celery, job_id: str, queue: str) -> None:
    """Say that a job may be claimable; the broker may lose or double this without harm."""
    # Never with `expires`: Celery compares that with the worker's clock, and one that is fast would drop every hint.
    app.send_task(TASK, args=[job_id], queue=queue)


def probe_queue(worker_id: str) -> str:
    """The queue that one worker alone serves."""
    return f"probe.{worker_id}"


def send_probe(app: Celery, worker_id: str) -> None:
    """Ask a worker to show that it takes messages."""
    app.send_task(PROBE, queue=probe_queue(worker_id))


def waiting(app: Celery, queue: str) -> int:
    """Messages in a queue that nobody has taken."""
    with _redis(app) as client:
        return int(client.llen(queue))  # pyright: ignore[reportArgumentType] - typed for both kinds of clients


def drop_queue(app: Celery, queue: str) -> None:
    """Remove a queue that nobody serves any more, with what is in it."""
    with _redis(app) as client:
        client.delete(queue, f"_kombu.binding.{queue}")


def forgot_hints(app: Celery) -> bool:
    """Whether the broker was emptied, or replaced by another, since the last `mark_hints`."""
    with _redis(app) as client:
        return not client.exists(_MARK)


def mark_hints(app: Celery) -> None:
    """Leave a mark in the broker that is gone when the hints are."""
    with _redis(app) as client:
        client.set(_MARK, 1)


@contextmanager
def _redis(app: Celery) -> Generator[Redis]:
    try:
        with app.amqp.producer_pool.acquire(block=True) as producer:
            yield producer.channel.client
    except RedisError as error:
        raise OperationalError(str(error)) from error
