"""Fixtures every test may ask for; the engines start when the first test asks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines import Engines


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
