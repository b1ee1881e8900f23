"""A broker that lost everything it held is told everything again, and one that lost nothing is told nothing twice."""

from __future__ import annotations

import pytest
import redis
from kombu.exceptions import OperationalError
from sqlalchemy import Engine

from app.jobs import dispatch
from app.jobs.broker import open_broker
from app.jobs.claim import claim_next
from app.jobs.dispatch import publish_due, republish_if_forgotten
from tests.engines import Engines
from tests.integration.jobs.conftest import queue_job


def held(engines: Engines) -> int:
    with redis.Redis.from_url(engines.redis.client_url) as client:
        return client.llen("cpu")


def test_hints_when_the_broker_is_emptied_then_all_are_sent_again(engine: Engine, engines: Engines, broker_url: str):
    broker = open_broker(broker_url)
    with engine.begin() as conn:
        for seed in range(80):
            queue_job(conn, seed=seed)
    assert republish_if_forgotten(engine, broker)
    assert publish_due(engine, broker, 3600) == held(engines) == 80
    assert not republish_if_forgotten(engine, broker)
    assert publish_due(engine, broker, 3600) == 0
    engines.flush()
    assert republish_if_forgotten(engine, broker)
    assert publish_due(engine, broker, 3600) == held(engines) == 80


def test_hints_when_others_still_wait_in_their_queue_then_none_is_sent_twice(
    engine: Engine, engines: Engines, broker_url: str
):
    broker = open_broker(broker_url)
    with engine.begin() as conn:
        for seed in range(3):
            queue_job(conn, seed=seed)
    assert publish_due(engine, broker, 3600) == held(engines) == 3
    assert publish_due(engine, broker, 0) == 0
    with engine.begin() as conn:
        queue_job(conn, seed=3)
    assert publish_due(engine, broker, 0) == 1  # a new job's first hint always goes out
    with redis.Redis.from_url(engines.redis.client_url) as client:
        client.ltrim("cpu", 1, 0)  # every hint was taken, and no worker came of it
    assert publish_due(engine, broker, 0) == held(engines) == 4


def test_hint_when_it_is_sent_then_its_job_can_be_claimed_at_once(
    engine: Engine, broker_url: str, monkeypatch: pytest.MonkeyPatch
):
    """A worker is quicker than a commit, and passes over a job that another transaction holds."""
    claimed = []

    def claim(broker: object, job_id: str, queue: str) -> None:
        with engine.begin() as conn:
            claimed.append(claim_next(conn, [queue], "worker", 30.0))

    monkeypatch.setattr(dispatch, "publish", claim)
    with engine.begin() as conn:
        made = queue_job(conn)
    assert publish_due(engine, open_broker(broker_url), 3600) == 1
    assert [row and row["id"] for row in claimed] == [made["id"]]


def test_hint_when_the_broker_does_not_take_it_then_it_is_due_again(
    engine: Engine, broker_url: str, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: object) -> None:
        raise OperationalError("away")

    with engine.begin() as conn:
        queue_job(conn)
    broker = open_broker(broker_url)
    with monkeypatch.context() as patched:
        patched.setattr(dispatch, "publish", fail)
        with pytest.raises(OperationalError):
            publish_due(engine, broker, 3600)
    assert publish_due(engine, broker, 3600) == 1
