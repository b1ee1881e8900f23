"""Fixtures every test may ask for; the engines start when the first test asks."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import structlog

from tests.engines import Engines

# One test process runs on each core: more threads would only take turns. To be set before numpy or torch is imported.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

# As structlog is before a process of ours configures it, but for tracebacks: with the values of all variables, which
# is its own choice, one takes seconds.
_LINES = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _LINES])


@pytest.fixture(scope="session")
def engines() -> Iterator[Engines]:
    """Real Postgres and Redis, one pair per test process (so also under xdist)."""
    pair = Engines()
    try:
        pair.start()
        yield pair
    finally:
        pair.close()


@pytest.fixture
def database_url(engines: Engines) -> Iterator[str]:
    """The address of a fresh database with our schema."""
    with engines.database() as url:
        yield url


@pytest.fixture
def broker_url(engines: Engines) -> Iterator[str]:
    """Celery's address of an empty Redis."""
    engines.flush()
    yield engines.broker_url
    engines.flush()
