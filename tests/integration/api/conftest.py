"""One API on one real database per module; every test is a tenant of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response
from sqlalchemy import Engine, create_engine, insert, select, update
from starlette.testclient import TestClient

from app.jobs.claim import claim_job
from app.jobs.commit import Outcome, commit_result
from app.jobs.finish import AttemptEnd
from app.jobs.states import append_event
from app.main import create_app
from app.settings import Settings
from app.store.api_keys import SCOPES, create_key
from app.store.blobs import LocalBlobs, StoredBlob
from app.store.ids import new_id
from app.store.tables import job, method, tenant, worker
from tests.engines import Engines
from tests.stated import StatingClient

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "budget": {"type": "integer", "default": 10, "minimum": 1, "description": "Units of the summary."},
        "split": {"type": "string", "default": "random"},
        "columns": {"type": "object", "default": {}},
    },
}
COST = {
    "memory_mb": 100,
    "units": "users",
    "estimate": {
        "seconds": [
            {"value": 2.0, "powers": {}, "only": {}},
            {"value": 0.5, "powers": {"budget": 1.0, "events": 0.5}, "only": {}},
        ],
        "memory_mb": [{"value": 0.001, "powers": {"events": 1.0}, "only": {}}],
    },
    "judging": {"seconds": [{"value": 3.0, "powers": {"evaluate.draws": 1.0}, "only": {}}], "memory_mb": []},
}
EVALUATE = {"type": "object", "additionalProperties": False, "properties": {"draws": {"type": "integer", "default": 5}}}
READING = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "split": {"type": "string", "default": "random", "description": "How events are held out."},
        "columns": {
            "type": "object",
            "additionalProperties": {"type": ["string", "integer"]},
            "propertyNames": {"enum": ["user", "item", "time/s"]},
            "description": "Which column is what.",
        },
    },
}
METHODS: list[dict[str, Any]] = [
    {
        **{"name": "ingest", "task": "ingest", "queue": "io", "params_schema": READING},
        "cost": {"memory_mb": 100, "units": "users"},
    },
    {"name": "ingest", "task": "ingest", "queue": "io", "kind": "graph"},
    {"name": "auto", "task": "distil", "cost": COST},
    {"name": "head-users", "task": "select"},
    {"name": "evaluate", "task": "evaluate", "inputs": [{"name": "summary"}]},
    {"name": "compare", "task": "compare", "inputs": [{"name": "summaries", "type": "summary", "many": True}]},
]
INPUT = {"type": "either", "kind": "", "required": True, "many": False, "description": ""}
_names = itertools.count(1)


def file_settings(url: str, folder: Path, **changes: Any) -> Settings:
    """Settings of an API on this database with its files in `folder`."""
    values: dict[str, Any] = {
        "database_url": url,
        "broker_url": "redis+socket:///nowhere/redis.sock",
        "blob_dir": folder / "blobs",
        "staging_dir": folder / "staging",
        "secret": "s" * 32,
    }
    return Settings(**{**values, **changes})


def announce(engine: Engine) -> None:
    """What a worker that serves `interactions`, and only reads `graph`, would announce."""
    with engine.begin() as conn:
        for row in METHODS:
            defaults = {"kind": "interactions", "version": 1, "summary": "A method.", "paper": "", "device": "cpu"}
            schemas = {"params_schema": SCHEMA, "evaluate_schema": EVALUATE}
            columns = {**defaults, **schemas, "queue": "cpu", "cost": {"memory_mb": 100}, **row}
            inputs = [{**INPUT, **one} for one in columns.get("inputs", [])]
            conn.execute(insert(method).values({**columns, "inputs": inputs}))


def add_worker(engine: Engine, **columns: Any) -> str:
    """A worker that has registered just now: with a GPU, unless `columns` say otherwise."""
    able = {"methods": ["interactions/head-users"], "devices": ["cpu", "cuda"], "unavailable": {}}
    row: dict[str, Any] = {"id": new_id("wrk"), "host": "h", "pid": 1, "queues": ["gpu"], "capabilities": able}
    with engine.begin() as conn:
        conn.execute(insert(worker).values({**row, **columns}))
    return {**row, **columns}["id"]


def change_method(engine: Engine, name: str, **columns: Any) -> None:
    """Announce a method of `interactions` otherwise."""
    with engine.begin() as conn:
        conn.execute(update(method).where(method.c.name == name).values(**columns))


@dataclass
class Api:
    """The API as one key of one tenant sees it, with a back door for what workers would do."""

    client: TestClient
    engine: Engine
    blobs: LocalBlobs
    tenant_id: str
    token: str
    headers: dict[str, str] = field(default_factory=dict)

    def request(self, verb: str, path: str, *, headers: dict[str, str] | None = None, **options: Any) -> Response:
        sent = {"Authorization": f"Bearer {self.token}", **self.headers, **(headers or {})}
        return self.client.request(verb, path, headers=sent, **options)

    def get(self, path: str, **options: Any) -> Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Response:
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> Response:
        return self.request("PUT", path, **options)

    def delete(self, path: str, **options: Any) -> Response:
        return self.request("DELETE", path, **options)

    def as_key(self, *scopes: str) -> Api:
        """The same tenant with a key of these scopes only."""
        with self.engine.begin() as conn:
            _, token = create_key(conn, self.tenant_id, "narrow", scopes)
        return Api(self.client, self.engine, self.blobs, self.tenant_id, token)

    def dataset(self, **fields: Any) -> dict[str, Any]:
        """A new dataset."""
        answer = self.post("/v1/datasets", json={"name": "clicks", "kind": "interactions", **fields})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def version(self, content: bytes = b"user,item\n1,2\n", **counted: int) -> str:
        """A ready version; its ingest is done by hand. `counted`: further statistics of it."""
        dataset_id = self.dataset()["id"]
        assert self.put(f"/v1/datasets/{dataset_id}/files/clicks.csv", content=content).status_code == 201
        answer = self.post(f"/v1/datasets/{dataset_id}/commit")
        assert answer.status_code == 202, answer.text
        manifest = {
            "statistics": {"users": 1000, "events": 40_000, **counted},
            "preview": [{"user": "1", "item": str(n)} for n in range(30)],
            "schema": {"user": "int32"},
            "warnings": [],
        }
        self.finish(
            answer.json()["job"]["id"], Outcome(canonical=self.stored({"x.parquet": content}), version=manifest)
        )
        return answer.json()["reference"]

    def job(self, reference: str | None = None, **fields: Any) -> dict[str, Any]:
        """A new job."""
        answer = self.post("/v1/jobs", json={"dataset": reference or self.version(), "method": "head-users", **fields})
        assert answer.status_code == 202, answer.text
        return answer.json()

    def summary(self, files: dict[str, bytes] | None = None) -> dict[str, str]:
        """The result of a job that made a summary of these files and a report."""
        made = self.job(force=True)
        report = {
            "report.json": b'{"verdict": "ok"}',
            "report.html": b"<!doctype html><title>r</title>",
            "report.md": b"# r\n",
            "plots/curve.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            "plots/curve.png": b"\x89PNG\r\n\x1a\n",
            "pictures/main.png": b"\x89PNG\r\n\x1a\n",
            "tables/main.csv": b"a,b\n1,2\n",
            "files/main": b"1",
        }
        outcome = Outcome(
            summary=self.stored(files or {"manifest.json": b"{}", "data/rows.npz": bytes(range(256)) * 400}),
            report=self.stored(report),
            manifest={"rows": 3},
            verdict={"text": "keeps"},
        )
        return self.finish(made["id"], outcome)

    def finish(self, job_id: str, outcome: Outcome) -> dict[str, str]:
        """Do what a worker does: claim, commit."""
        with self.engine.begin() as conn:
            row = claim_job(conn, job_id, "w1", 30.0)
            assert row is not None
        with self.engine.begin() as conn:
            result = commit_result(conn, row, outcome, AttemptEnd())
            assert result is not None
            return result

    def log(self, job_id: str, *lines: str) -> None:
        """Log lines of a job, each committed by itself."""
        for line in lines:
            with self.engine.begin() as conn:
                append_event(conn, job_id, "log", {"text": line})

    def stored(self, files: dict[str, bytes]) -> dict[str, StoredBlob]:
        """These bytes as blobs."""
        made: dict[str, StoredBlob] = {}
        for path, content in files.items():
            with self.blobs.incoming() as incoming:
                incoming.write(content)
                made[path] = incoming.finish()
        return made

    def state_of(self, job_id: str) -> str:
        with self.engine.connect() as conn:
            return conn.execute(select(job.c.state).where(job.c.id == job_id)).scalar_one()


@pytest.fixture(scope="module")
def settings(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with engines.database() as url:
        yield file_settings(url, tmp_path_factory.mktemp("api"))


@pytest.fixture(scope="module")
def engine(settings: Settings) -> Iterator[Engine]:
    engine = create_engine(settings.database_url, pool_size=20, max_overflow=20)
    announce(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def client(settings: Settings, engine: Engine) -> Iterator[TestClient]:
    with StatingClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def new_tenant(client: TestClient, engine: Engine, settings: Settings) -> Api:
    tenant_id = new_id("ten")
    with engine.begin() as conn:
        conn.execute(insert(tenant).values(id=tenant_id, name=f"tenant {next(_names)}"))
        _, token = create_key(conn, tenant_id, "all", SCOPES)
    return Api(client, engine, LocalBlobs(settings.blob_dir, settings.staging_dir), tenant_id, token)


@pytest.fixture
def api(client: TestClient, engine: Engine, settings: Settings) -> Api:
    """A fresh tenant with a key of all scopes."""
    return new_tenant(client, engine, settings)


@pytest.fixture
def other(client: TestClient, engine: Engine, settings: Settings) -> Api:
    """Another tenant."""
    return new_tenant(client, engine, settings)
