"""A database and files that a service of a landed revision left: upgraded, nothing is lost and all of it is served."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool
from starlette.testclient import TestClient

from app.embedded.postgres import SUPERUSER
from app.jobs.claim import claim_job
from app.main import create_app
from app.settings import Settings
from app.store.migrate import current_revision, head_revision, upgrade
from tests.engines import Engines
from tests.landed.load import REVISIONS, load


def rows(url: str, columns: dict[str, list[str]]) -> dict[str, list[Any]]:
    """The rows of these tables, in these columns."""
    found: dict[str, list[Any]] = {}
    with create_engine(url, poolclass=NullPool).connect() as conn:
        for table, names in columns.items():
            listed = ", ".join(f'"{name}"' for name in names)
            found[table] = sorted(conn.scalars(text(f'SELECT ROW({listed})::text FROM "{table}"')))
    found.pop("alembic_version")
    return found


@pytest.mark.parametrize("revision", REVISIONS)
def test_upgrade_when_every_table_has_rows_of_a_landed_revision_then_all_are_there_and_served(
    engines: Engines, revision: str, tmp_path: Path
):
    with engines.database(migrated=False) as url:
        superuser = engines.postgres.url(make_url(url).database or "", role=SUPERUSER)
        landed = load(revision, url, superuser, tmp_path / "blobs")
        before = rows(url, landed.columns)
        assert not [table for table, found in before.items() if not found], "a table without rows shows nothing"
        upgrade(url)
        assert rows(url, landed.columns) == before
        with create_engine(url, poolclass=NullPool).connect() as conn:
            assert current_revision(conn) == head_revision()
        (tmp_path / "staging").mkdir()
        settings = Settings.model_validate(
            {
                "database_url": url, "broker_url": engines.broker_url, "blob_dir": tmp_path / "blobs",
                "staging_dir": tmp_path / "staging", "secret": "s" * 32,
            }
        )  # fmt: skip
        headers = {"Authorization": f"Bearer {landed.key}"}
        with TestClient(create_app(settings), headers=headers) as api:
            serves_what_was_there(api)
            posted = takes_new_work(api)
        with create_engine(url, poolclass=NullPool).begin() as conn:
            claimed = claim_job(conn, posted, "a worker", 30.0)
            assert claimed is not None
            assert claimed["state"] == "running"


def get(api: TestClient, path: str) -> Any:
    answer = api.get(path)
    assert answer.status_code == 200, f"{path}: {answer.text}"
    return answer.json()


def serves_what_was_there(api: TestClient) -> None:
    assert get(api, "/readyz")["checks"]["schema"] == "ok"
    jobs = {job["state"]: job for job in get(api, "/v1/jobs")["items"] if job["method"] == "random-users"}
    assert set(jobs) == {"succeeded", "cancelled"}
    done = jobs["succeeded"]
    events = get(api, f"/v1/jobs/{done['id']}/events")["items"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["type"] == "succeeded"
    report = get(api, f"/v1/reports/{done['result']['report']}")
    assert report["verdict"]
    summary = done["result"]["summary"]
    assert get(api, f"/v1/summaries/{summary}")["content_sha256"]
    download = api.get(f"/v1/summaries/{summary}/download")
    assert download.status_code == 200
    with zipfile.ZipFile(io.BytesIO(download.content)) as archive:
        assert archive.testzip() is None
        assert "manifest.json" in archive.namelist()
    assert {one["name"] for one in get(api, "/v1/datasets")["items"]} >= {"unfinished"}
    assert {one["name"] for one in get(api, "/v1/api-keys")["items"]} == {"first key", "second"}
    (hook,) = get(api, "/v1/webhooks")["items"]
    assert get(api, f"/v1/webhooks/{hook['id']}/deliveries")["items"]
    assert get(api, "/v1/methods")["items"]
    assert get(api, "/v1/usage")


def takes_new_work(api: TestClient) -> str:
    """A job that asks the same is answered from what was there, and another one waits for a worker."""
    (done,) = [job for job in get(api, "/v1/jobs")["items"] if job["result"] and job["method"] == "random-users"]
    names = ("method", "dataset", "params", "evaluate")
    body = {name: done[name] for name in names if done.get(name)} | {"params": {"budget": 20}}
    again = api.post("/v1/jobs", json=body)
    assert again.status_code in (200, 201, 202), again.text
    other = api.post("/v1/jobs", json={**body, "seed": 11, "force": True})
    assert other.status_code == 202, other.text
    assert other.json()["state"] == "queued"
    return other.json()["id"]
