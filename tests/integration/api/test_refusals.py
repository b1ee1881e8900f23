"""Every failure is a problem document: the framework's, the database's, our own mistakes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI
from psycopg.errors import DiskFull
from sqlalchemy import Engine, text, update
from sqlalchemy.exc import DBAPIError
from starlette.testclient import TestClient

from app.api.problem_codes import CODES
from app.api.readiness import check_schema
from app.api.routes import jobs as jobs_route
from app.jobs.claim import claim_job
from app.jobs.states import lease
from app.main import create_app
from app.store.tables import job
from tests.integration.api.conftest import Api, file_settings
from tests.stated import StatingClient

JSON = {"Content-Type": "application/json"}


def check(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    problem = answer.json()
    assert (problem["status"], problem["code"], problem["type"]) == (status, code, f"http://testserver/problems/{code}")
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["detail"]
    assert problem["title"]
    assert problem["hint"]
    return problem


def test_framework_refusals_when_they_happen_then_are_problems(api: Api) -> None:
    check(api.get("/v1/none"), 404, "not_found")
    wrong_verb = api.request("PATCH", "/v1/jobs")
    check(wrong_verb, 405, "method_not_allowed")
    assert "allow" in wrong_verb.headers
    check(api.post("/v1/datasets", content=b"{", headers=JSON), 400, "malformed_json")
    check(api.post("/v1/datasets", content=b'{"name": "\xff"}', headers=JSON), 400, "malformed_json")
    check(api.post("/v1/datasets", content=b"[" * 100_000, headers=JSON), 400, "malformed_json")
    check(
        api.post("/v1/datasets", content=b'{"a": 1}', headers={"Content-Type": "text/xml"}),
        415,
        "unsupported_media_type",
    )
    check(api.post("/v1/datasets", content=b'{"a": 1}'), 415, "unsupported_media_type")
    check(api.post("/v1/datasets"), 422, "invalid_request")
    check(api.post("/v1/datasets", content=b"[]", headers=JSON), 422, "invalid_request")
    check(api.post("/v1/datasets", content=b'"' + b"x" * 1_000_001 + b'"', headers=JSON), 413, "payload_too_large")


def test_body_when_sent_in_pieces_beyond_the_limit_then_413(api: Api) -> None:
    answer = api.post("/v1/datasets", content=iter([b" " * 600_000] * 2), headers=JSON)
    check(answer, 413, "payload_too_large")


def test_upload_when_beyond_the_limit_then_413_and_staging_is_empty(api: Api, client: TestClient) -> None:
    settings = client.app.state.services.settings
    path = f"/v1/datasets/{api.dataset()['id']}/files/big"
    before, settings.upload_limit_bytes = settings.upload_limit_bytes, 3_000_000
    try:
        check(api.put(path, content=bytes(3_000_001)), 413, "payload_too_large")
        check(api.put(path, content=iter([bytes(1_000_000)] * 4)), 413, "payload_too_large")
        assert list(api.blobs.staging.iterdir()) == []
        assert api.put(path, content=iter([bytes(1_000_000)] * 3)).status_code == 201
    finally:
        settings.upload_limit_bytes = before


@pytest.mark.parametrize(
    "body",
    [
        b'{"name": "x", "kind": "graph", "options": {"a": NaN}}',
        b'{"name": "x", "kind": "graph", "options": {"a": 1e999}}',
        b'{"name": "x", "kind": "graph", "options": {"a": "\\u0000"}}',
        b'{"name": "x", "kind": "graph", "options": {"\\ud800": 1}}',
        b'{"name": "x", "kind": "graph", "options": ' + b'{"a":' * 20 + b"1" + b"}" * 20 + b"}",
    ],
)
def test_body_when_postgres_could_not_hold_it_then_422(api: Api, body: bytes) -> None:
    check(api.post("/v1/datasets", content=body, headers=JSON), 422, "invalid_request")


def test_address_when_it_has_a_nul_then_400(api: Api) -> None:
    check(api.get("/v1/jobs/a%00b"), 400, "malformed_request")
    check(api.get("/v1/jobs?dataset=%00"), 400, "malformed_request")
    check(api.get("/v1/jobs/%ff%fe"), 404, "not_found")


def test_headers_when_too_large_then_431(api: Api) -> None:
    check(api.get("/v1/me", headers={"X-Large": "x" * 17_000}), 431, "headers_too_large")
    many = {f"X-{n}": "y" * 50 for n in range(400)}
    check(api.get("/v1/me", headers=many), 431, "headers_too_large")


def test_request_id_when_given_then_returned_unless_it_is_odd(api: Api) -> None:
    assert api.get("/healthz", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert api.get("/healthz", headers={"X-Request-Id": "a b<script>"}).headers["x-request-id"].startswith("req_")


def test_mistake_in_a_route_when_it_happens_then_500_problem_with_id(client: TestClient, api: Api) -> None:
    app = client.app
    assert isinstance(app, FastAPI)

    def broken() -> None:
        raise RuntimeError("secret detail")

    app.add_api_route("/broken", broken)
    answer = api.get("/broken")
    check(answer, 500, "internal")
    assert "secret detail" not in answer.text


def test_database_when_away_then_503_and_alive(engines: Any, tmp_path: Path) -> None:
    url = re.sub(r"(host=)[^&]*", r"\1/nowhere", "postgresql+psycopg://x@/x?host=/nowhere")
    with StatingClient(create_app(file_settings(url, tmp_path)), raise_server_exceptions=False) as client:
        answer = client.get("/v1/me", headers={"Authorization": "Bearer dsk_a_b"})
        check(answer, 503, "database_unavailable")
        assert answer.headers["retry-after"]
        assert client.get("/healthz").status_code == 200
        ready = client.get("/readyz")
        assert ready.status_code == 503
        assert ready.json()["status"] == "unready"
        assert "distillery_http_requests_total" in client.get("/metrics").text


def test_ready_when_the_broker_is_away_then_only_degraded(api: Api) -> None:
    answer = api.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["checks"]["schema"] == "ok"


@pytest.mark.parametrize(("revision", "said"), [("9999", "ok"), ("0008", "at 0008, this code expects ")])
def test_ready_when_the_schema_is_another_then_only_an_older_one_stands_in_the_way(
    api: Api, engine: Engine, revision: str, said: str
) -> None:
    """Old processes serve on the schema of the next version until they are replaced."""
    with engine.connect() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
        assert check_schema(conn).startswith(said)
        conn.execute(text("DELETE FROM alembic_version"))
        assert check_schema(conn).startswith("at None")
        conn.rollback()


def test_ready_when_leases_are_over_and_their_owner_is_unknown_then_says_so(api: Api, engine: Engine) -> None:
    with engine.begin() as conn:
        claimed = claim_job(conn, api.job()["id"], "wrk_nobody_knows", 30.0)
        assert claimed is not None
    assert api.get("/readyz").json()["notes"] == ["1 workers own running jobs and are not registered."]
    with engine.begin() as conn:
        conn.execute(update(job).where(job.c.id == claimed["id"]).values(lease_until=lease(-31)))
    assert len(api.get("/readyz").json()["notes"]) == 2
    shown = api.get("/metrics").text
    assert "distillery_leases_overdue 1.0" in shown
    assert "distillery_workers_unregistered 1.0" in shown


def test_request_when_the_disk_of_postgres_is_full_then_507(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    full = DBAPIError.instance(None, None, DiskFull("could not extend file"), psycopg.Error)
    monkeypatch.setattr(jobs_route, "create", lambda *_, **__: (_ for _ in ()).throw(full))
    check(api.post("/v1/jobs", json={"dataset": api.version(), "method": "head-users"}), 507, "insufficient_storage")


def test_ready_when_the_broker_is_there_then_ready(engines: Any, broker_url: str, client: TestClient) -> None:
    settings = client.app.state.services.settings
    before, settings.broker_url = settings.broker_url, broker_url
    try:
        assert client.get("/readyz").json()["status"] == "ready"
    finally:
        settings.broker_url = before


def test_metrics_when_jobs_exist_then_counted_and_ids_are_no_labels(api: Api, client: TestClient) -> None:
    result = api.summary()
    api.get(f"/v1/summaries/{result['summary']}")
    text = client.get("/metrics").text
    assert 'distillery_jobs_total{kind="interactions",method="head-users",outcome="succeeded",task="select"}' in text
    assert 'route="/v1/summaries/{summary_id}"' in text
    assert result["summary"] not in text
    for name in (
        "distillery_queue_depth",
        "distillery_job_seconds",
        "distillery_lease_expired_total",
        "distillery_store_bytes",
    ):
        assert name in text


def test_metrics_when_closed_then_only_for_admins(api: Api, client: TestClient) -> None:
    settings = client.app.state.services.settings
    settings.metrics_open = False
    try:
        check(client.get("/metrics"), 401, "unauthenticated")
        check(api.as_key("jobs:read").get("/metrics"), 403, "forbidden")
        assert api.get("/metrics").status_code == 200
    finally:
        settings.metrics_open = True


def test_problem_pages_when_asked_for_then_explain_every_code(client: TestClient) -> None:
    for code, known in CODES.items():
        page = client.get(f"/problems/{code}")
        assert page.status_code == 200
        assert code in page.text
        assert known.title in page.text
    check(client.get("/problems/none"), 404, "not_found")


def test_codes_when_in_the_source_then_documented_and_the_other_way_round() -> None:
    files = [path for folder in ("app", "worker") for path in Path(folder).rglob("*.py")]
    source = "".join(path.read_text() for path in files if path.name != "problem_codes.py")
    used = set(re.findall(r'(?:Problem|Refused|JobError)\(\s*"([a-z_]+)"', source))
    assert used <= set(CODES)
    assert [code for code in CODES if f'"{code}"' not in source] == []


def test_upload_when_the_disk_is_nearly_full_then_507(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    path = f"/v1/datasets/{api.dataset()['id']}/files/a"
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10**9))
    check(api.put(path, content=b"1"), 507, "insufficient_storage")
    monkeypatch.undo()
    assert api.put(path, content=b"1").status_code == 201
