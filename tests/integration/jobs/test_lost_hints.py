"""A broker that lost everything it held is told everything again."""

from __future__ import annotations

import redis
from sqlalchemy import Engine

from app.jobs.broker import open_broker
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
