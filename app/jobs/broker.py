"""Celery as the carrier of hints: the settings both ends share, and the one message there is."""

from __future__ import annotations

from celery import Celery

TASK = "distillery.attempt"


def open_broker(url: str) -> Celery:
    """The Celery application. Early ack and no results: Postgres is the truth, redelivery is never relied on."""
    app = Celery("distillery", broker=url)
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
        broker_transport_options={
            "socket_timeout": 30,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "health_check_interval": 25,
            "visibility_timeout": 3600,
        },
    )
    return app


def publish(app: Celery, job_id: str, queue: str) -> None:
    """Say that a job may be claimable; the broker may lose or double this without harm."""
    app.send_task(TASK, args=[job_id], queue=queue, expires=3600)
