"""Who may ask what: keys, scopes, tenants."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from app.jobs.retain import Retention
from app.store.api_keys import SCOPES
from tests.integration.api.conftest import Api

OPEN = {"/", "/docs", "/healthz", "/readyz", "/metrics", "/problems", "/problems/{code}"}
BODIES: dict[str, Any] = {
    "create_dataset": {"name": "x", "kind": "graph"},
    "update_dataset": {"name": "x"},
    "create_job": {"dataset": "ds_x"},
    "create_api_key": {"name": "x", "scopes": ["admin"]},
    "create_webhook": {"url": "https://hooks.example.com/"},
    "update_webhook": {"enabled": True},
    "create_upload_urls": {"files": [{"path": "x.csv", "sha256": "0" * 64, "size": 1}]},
    "import_dataset": {"url": "https://data.example.com/x.csv", "name": "x", "kind": "graph"},
}
NEEDS = {
    "datasets": {"GET": "datasets:read", "else": "datasets:write"},
    "files": {"GET": "datasets:read", "else": "datasets:write"},
    "uploads": {"else": "datasets:write"},
    "versions": {"GET": "datasets:read", "else": "datasets:write"},
    "methods": {"GET": "jobs:read"},
    "jobs": {"GET": "jobs:read", "else": "jobs:write"},
    "summaries": {"GET": "summaries:read", "else": "jobs:write"},
    "reports": {"GET": "summaries:read", "else": "jobs:write"},
    "webhooks": {"GET": "webhooks:write", "else": "webhooks:write"},
    "account": {"GET": "admin", "else": "admin"},
}


def operations(client: TestClient) -> list[tuple[str, str, dict[str, Any]]]:
    paths = client.get("/openapi.json").json()["paths"]
    return [(verb.upper(), path, operation) for path, verbs in paths.items() for verb, operation in verbs.items()]


def existing_things(api: Api) -> dict[str, str]:
    """Ids of things that this tenant has, by the names that paths give them."""
    made = api.summary()
    with api.engine.connect() as conn:
        key_id = conn.execute(
            text("SELECT id FROM api_key WHERE tenant_id = :t LIMIT 1"), {"t": api.tenant_id}
        ).scalar_one()
    version = api.get("/v1/jobs").json()["items"][0]["dataset"]
    hook = api.post("/v1/webhooks", json={"url": "https://hooks.example.com/"}).json()["id"]
    return {
        "dataset_id": version.partition("@")[0],
        "number": "1",
        "kind": "interactions",
        "job_id": api.get("/v1/jobs").json()["items"][0]["id"],
        "summary_id": made["summary"],
        "report_id": made["report"],
        "key_id": key_id,
        "upload_id": upload_of(api, version.partition("@")[0]),
        "webhook_id": hook,
        "delivery_id": api.post(f"/v1/webhooks/{hook}/test").json()["id"],
    }


def upload_of(api: Api, dataset_id: str) -> str:
    """A resumable upload that has begun."""
    values = {"dataset": dataset_id, "path": "more.csv"}
    pairs = (f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in values.items())
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "9", "Upload-Metadata": ",".join(pairs)}
    return api.post("/v1/uploads", headers=headers).json()["id"]


def code_of(answer: Any) -> str:
    """The problem's code; empty for HEAD, whose answers have no body."""
    return answer.json()["code"] if answer.content else ""


def filled(path: str, things: dict[str, str]) -> str:
    """The path of something that exists."""
    file = "x.parquet" if "versions" in path else "clicks.csv" if "datasets" in path else "manifest.json"
    for name, value in {**things, "path": file, "name": "curve" if "plots" in path else "main"}.items():
        path = path.replace(f"{{{name}}}", value)
    return path


def send(api: Api, verb: str, path: str, operation: dict[str, Any]) -> Any:
    options: dict[str, Any] = {"headers": {"If-Match": "*", "Tus-Resumable": "1.0.0"}}
    if operation["operationId"] in BODIES:
        options["json"] = BODIES[operation["operationId"]]
    elif verb == "PUT":
        options["content"] = b"x"
    return api.request(verb, path, **options)


def test_every_route_when_the_id_is_of_another_tenant_then_404(api: Api, other: Api, client: TestClient) -> None:
    things = existing_things(api)
    tried = 0
    for verb, path, operation in operations(client):
        if "{" not in path or path in OPEN or "/methods/" in path:
            continue
        answer = send(other, verb, filled(path, things), operation)
        assert (answer.status_code, code_of(answer)) == (404, "not_found" if verb != "HEAD" else ""), (verb, path)
        tried += 1
    assert tried >= 24


def test_every_listed_id_when_it_is_its_own_tenant_then_not_404(api: Api, client: TestClient) -> None:
    things = existing_things(api)
    # The mirror of the test above: the ids it fills in are really there, so its 404s are not for nothing.
    for verb, path, operation in operations(client):
        if verb not in ("GET", "HEAD") or "{" not in path or path in OPEN or "/methods/" in path:
            continue
        assert send(api, verb, filled(path, things), operation).status_code == 200, path


def test_events_of_several_jobs_when_one_is_of_another_tenant_then_404(api: Api, other: Api) -> None:
    theirs, own = api.job()["id"], other.job()["id"]
    assert other.get(f"/v1/events?jobs={own},{theirs}").json()["code"] == "not_found"


def test_lists_when_another_tenant_has_rows_then_empty(api: Api, other: Api) -> None:
    api.summary()
    for path in ("/v1/datasets", "/v1/jobs", "/v1/summaries", "/v1/reports"):
        assert other.get(path).json()["items"] == []
    assert len(other.get("/v1/api-keys").json()["items"]) == 1


def test_create_job_when_the_dataset_is_of_another_tenant_then_unknown(api: Api, other: Api) -> None:
    answer = other.post("/v1/jobs", json={"dataset": api.version(), "method": "auto"})
    assert answer.json()["code"] == "unknown_dataset"


def test_every_route_when_no_key_is_sent_then_401(client: TestClient) -> None:
    for verb, path, _ in operations(client):
        if path in OPEN:
            continue
        answer = client.request(verb, path.replace("{number}", "1"))
        assert (answer.status_code, code_of(answer)) == (401, "unauthenticated" if verb != "HEAD" else ""), (verb, path)
        assert answer.headers["www-authenticate"] == "Bearer"


def test_every_route_when_the_scope_is_missing_then_403(api: Api, client: TestClient) -> None:
    everything = list(SCOPES)
    keys = {scope: api.as_key(*(s for s in everything if s != scope)) for scope in everything}
    tried = 0
    for verb, path, operation in operations(client):
        if path in OPEN or path in ("/v1/me", "/v1/usage"):
            continue
        needs = NEEDS[operation["tags"][0]]
        scope = needs.get(verb, needs.get("else", ""))
        answer = send(keys[scope], verb, path.replace("{number}", "1"), operation)
        assert (answer.status_code, code_of(answer)) == (403, "forbidden" if verb != "HEAD" else ""), (verb, path)
        assert verb == "HEAD" or scope in answer.json()["detail"]
        tried += 1
    assert tried >= 28


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Bearer dsk_a_b", "Basic dXNlcg==", "Bearer dsk_é_x"])
def test_key_when_not_one_then_401(client: TestClient, header: str) -> None:
    answer = client.get("/v1/me", headers={b"Authorization": header.encode()})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


def test_api_key_when_created_then_works_until_revoked(api: Api) -> None:
    answer = api.post("/v1/api-keys", json={"name": "ci", "scopes": ["jobs:read", "jobs:read"]})
    made = answer.json()
    assert (answer.status_code, made["scopes"], answer.headers["cache-control"]) == (201, ["jobs:read"], "no-store")
    mine = Api(api.client, api.engine, api.blobs, api.tenant_id, made["token"])
    assert mine.get("/v1/me").json() == {
        "key_id": made["id"],
        "tenant_id": api.tenant_id,
        "name": "ci",
        "scopes": ["jobs:read"],
    }
    listed = api.get("/v1/api-keys").json()["items"]
    assert made["id"] in [item["id"] for item in listed]
    assert made["token"].split("_", 2)[2] not in str(listed)
    assert [api.delete(f"/v1/api-keys/{made['id']}").status_code for _ in range(2)] == [204, 404]
    assert mine.get("/v1/me").status_code == 401


def test_api_key_when_expired_or_wrong_then_refused(api: Api) -> None:
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = api.post("/v1/api-keys", json={"name": "x", "scopes": ["admin"], "expires_at": soon}).json()
    with api.engine.begin() as conn:
        conn.execute(text("UPDATE api_key SET expires_at = now() WHERE id = :id"), {"id": made["id"]})
    expired = Api(api.client, api.engine, api.blobs, api.tenant_id, made["token"])
    assert expired.get("/v1/me").status_code == 401
    past = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    for wrong in ({"scopes": []}, {"scopes": ["root"]}, {"scopes": ["admin"], "expires_at": past}):
        assert api.post("/v1/api-keys", json={"name": "x", **wrong}).status_code == 422


def test_key_when_it_is_wrong_then_that_is_said_before_what_else_is(client: TestClient) -> None:
    for headers in ({}, {"Authorization": "Bearer dsk_x_y"}):
        answer = client.post("/v1/datasets", json={"kind": 5}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


def made_with(api: Api, **fields: Any) -> tuple[Api, dict[str, Any]]:
    """A key that this key makes, and its document."""
    made = api.post("/v1/api-keys", json={"name": "made", "scopes": ["admin"], **fields}).json()
    return Api(api.client, api.engine, api.blobs, api.tenant_id, made["token"]), made


def statuses(*keys: Api) -> list[int]:
    return [key.get("/v1/me").status_code for key in keys]


def test_api_key_when_revoked_then_those_made_with_it_fall_too(api: Api) -> None:
    child, made = made_with(api)
    grandchild, made_by_child = made_with(child)
    sibling, _ = made_with(api)
    assert made_by_child["made_by"] == made["id"]
    assert statuses(child, grandchild, sibling) == [200] * 3
    assert api.delete(f"/v1/api-keys/{made['id']}").status_code == 204
    assert statuses(child, grandchild, sibling) == [401, 401, 200]


def test_api_key_when_replaced_then_those_made_with_it_may_stay(api: Api) -> None:
    mine = api.get("/v1/me").json()["key_id"]
    new, _ = made_with(api)
    third, of_new = made_with(new)
    assert new.delete(f"/v1/api-keys/{mine}").json()["code"] == "last_admin_key", "all would fall with it"
    assert new.delete(f"/v1/api-keys/{mine}?keep_made=true").status_code == 204
    assert statuses(api, new, third) == [401, 200, 200]
    assert new.delete(f"/v1/api-keys/{of_new['id']}").status_code == 204


def test_api_key_when_its_maker_expires_then_expires_no_later(api: Api) -> None:
    hours = [(datetime.now(UTC) + timedelta(hours=n)).isoformat() for n in (1, 2)]
    child, made = made_with(api, expires_at=hours[0])
    for asked in ({}, {"expires_at": hours[1]}):
        assert made_with(child, **asked)[1]["expires_at"] == made["expires_at"]


def test_api_key_when_the_last_that_manages_keys_then_not_revoked_by_mistake(api: Api) -> None:
    mine = api.get("/v1/me").json()["key_id"]
    made_with(api, scopes=["jobs:read"])
    refused = api.delete(f"/v1/api-keys/{mine}")
    assert (refused.status_code, refused.json()["code"]) == (409, "last_admin_key")
    assert statuses(api) == [200]
    assert api.delete(f"/v1/api-keys/{mine}?force=true").status_code == 204
    assert statuses(api) == [401]


def test_api_keys_when_too_many_then_refused_until_dead_ones_are_forgotten(api: Api) -> None:
    settings = api.client.app.state.services.settings
    before, settings.key_limit = settings.key_limit, 3
    try:
        _, first = made_with(api)
        made_with(api)
        api.delete(f"/v1/api-keys/{first['id']}")
        refused = api.post("/v1/api-keys", json={"name": "x", "scopes": ["jobs:read"]})
        assert (refused.status_code, refused.json()["code"]) == (403, "quota_exceeded")
        with api.engine.begin() as conn:
            conn.execute(text("UPDATE api_key SET revoked_at = now() - interval '8 days' WHERE revoked_at IS NOT NULL"))
            Retention(7 * 86_400.0, 7 * 86_400.0).enforce(conn)
        assert api.post("/v1/api-keys", json={"name": "x", "scopes": ["jobs:read"]}).status_code == 201
    finally:
        settings.key_limit = before
