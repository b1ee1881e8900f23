"""A request's transaction is over before its answer is sent, and no wait for one stops the others."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import FastAPI
from sqlalchemy import insert, select, text
from starlette.testclient import TestClient

from app.api.security import DatasetWriter
from app.api.transactions import TransactionRoute
from app.store.ids import new_id
from app.store.tables import dataset
from tests.integration.api.conftest import Api


def test_answer_when_it_is_sent_then_its_transaction_has_committed(api: Api, client: TestClient) -> None:
    """The answer itself looks, on another connection and while it is being sent, for the row it tells of."""
    app = client.app
    assert isinstance(app, FastAPI)
    row_id = new_id("ds")
    seen: list[bool] = []

    class Looking:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            async def looking(message: Any) -> None:
                if scope["path"] == "/probe" and message["type"] == "http.response.start":
                    with api.engine.connect() as conn:
                        found = conn.execute(select(dataset.c.id).where(dataset.c.id == row_id)).one_or_none()
                    seen.append(found is not None)
                await send(message)

            await self.inner(scope, receive, looking)

    def probe(caller: DatasetWriter) -> dict[str, str]:
        caller.conn.execute(insert(dataset).values(id=row_id, tenant_id=caller.tenant_id, name="n", kind="graph"))
        return {"id": row_id}

    app.router.add_api_route("/probe", probe, methods=["POST"], route_class_override=TransactionRoute)
    stack = app.middleware_stack
    app.middleware_stack = Looking(stack)
    try:
        assert api.post("/probe").status_code == 200
    finally:
        app.middleware_stack = stack
    assert seen == [True]


def test_commit_when_it_fails_then_the_answer_is_no_success(api: Api, client: TestClient) -> None:
    app = client.app
    assert isinstance(app, FastAPI)

    def doomed(caller: DatasetWriter) -> dict[str, str]:
        # A deferred constraint is checked at commit, after the route has returned.
        caller.conn.execute(text("CREATE TEMP TABLE doomed (x int UNIQUE DEFERRABLE INITIALLY DEFERRED)"))
        caller.conn.execute(text("INSERT INTO doomed VALUES (1), (1)"))
        return {"done": "yes"}

    app.router.add_api_route("/doomed", doomed, methods=["POST"], route_class_override=TransactionRoute)
    answer = api.post("/doomed")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")


def test_route_when_it_raises_then_nothing_is_kept(api: Api, client: TestClient) -> None:
    app = client.app
    assert isinstance(app, FastAPI)
    row_id = new_id("ds")

    def failing(caller: DatasetWriter) -> None:
        caller.conn.execute(insert(dataset).values(id=row_id, tenant_id=caller.tenant_id, name="n", kind="graph"))
        raise RuntimeError

    app.router.add_api_route("/failing", failing, methods=["POST"], route_class_override=TransactionRoute)
    assert api.post("/failing").status_code == 500
    assert api.get(f"/v1/datasets/{row_id}").status_code == 404


def test_requests_when_far_more_than_connections_then_none_waits_for_a_timeout(api: Api) -> None:
    """Threads waiting for connections held by requests waiting for threads would stand still for ten seconds."""
    begun = time.monotonic()
    with ThreadPoolExecutor(120) as pool:
        statuses = list(pool.map(lambda _: api.get("/v1/me").status_code, range(360)))
    assert set(statuses) == {200}
    assert time.monotonic() - begun < 9.5
