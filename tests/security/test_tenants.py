"""Every route of the running service with the ids of another tenant: 404, and nothing of theirs changes.

tests/integration/api/test_access.py does the same in one process; here the routes are those that are really served.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import pytest

from app.store.api_keys import ensure_first_key
from tests.integration.api.test_access import BODIES, OPEN, filled
from tests.security.files import CSV
from tests.security.fort import Fort, finished_job

pytestmark = pytest.mark.security
MADE_UP = {"webhook_id": "wh_none", "delivery_id": "msg_none"}  # where this tenant could make none


@dataclass(frozen=True)
class Victim:
    """A tenant of its own, with one of everything."""

    key: str
    things: dict[str, str]


@pytest.fixture(scope="module")
def victim(running: Fort) -> Victim:
    key = ensure_first_key(running.environment()["DISTILLERY_DATABASE_URL"], tenant_name="victim")
    ingest = running.ended(running.upload({"clicks.csv": (CSV * 1)}, key=key), key=key)
    assert ingest["state"] == "succeeded", ingest["error"]
    things = finished_job(running, ingest["dataset"], key=key, params={"budget": 5})
    things["kind"] = "interactions"
    report = running.request("GET", f"/v1/reports/{things['report_id']}", key=key).json()
    things |= {"plot": report["plots"][0]["name"], "table": report["tables"][0]["name"]}
    version = f"/v1/datasets/{things['dataset_id']}/versions/1/files"
    things["canonical"] = running.request("GET", version, key=key).json()["items"][0]["path"]
    things["key_id"] = running.request("GET", "/v1/api-keys", key=key).json()["items"][0]["id"]
    things |= {**MADE_UP, **_upload(running, key, things["dataset_id"]), **_webhook(running, key)}
    return Victim(key, things)


def _upload(fort: Fort, key: str, dataset: str) -> dict[str, str]:
    """A resumable upload that has begun."""
    named = {"dataset": dataset, "path": "more.csv"}
    metadata = ",".join(f"{name} {base64.b64encode(value.encode()).decode()}" for name, value in named.items())
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "10", "Upload-Metadata": metadata}
    answer = fort.request("POST", "/v1/uploads", key=key, headers=headers)
    assert answer.status_code == 201, answer.text
    return {"upload_id": answer.headers["location"].rpartition("/")[2]}


def _webhook(fort: Fort, key: str) -> dict[str, str]:
    """A webhook endpoint; made where the address can be resolved from here."""
    answer = fort.request("POST", "/v1/webhooks", key=key, json={"url": "https://93.184.216.34/hook"})
    if answer.status_code != 201:
        return {}
    made = answer.json()["id"]
    sent = fort.request("POST", f"/v1/webhooks/{made}/test", key=key)
    return {"webhook_id": made, **({"delivery_id": sent.json()["id"]} if sent.status_code == 202 else {})}


def operations(fort: Fort) -> list[tuple[str, str, dict[str, Any]]]:
    paths = fort.request("GET", "/openapi.json").json()["paths"]
    order = ["get", "head", "options", "put", "patch", "post", "delete"]
    return [(v.upper(), path, verbs[v]) for path, verbs in paths.items() for v in sorted(verbs, key=order.index)]


def address_of(path: str, things: dict[str, str]) -> str:
    """The path with the victim's ids in it."""
    if path == "/v1/events":
        return f"{path}?jobs={things['job_id']}"
    if "/versions/" in path:
        path = path.replace("{path}", "{canonical}")
    return filled(path.replace("{name}", "{plot}" if "plots" in path else "{table}"), things)


def sending(fort: Fort, verb: str, operation: dict[str, Any]) -> dict[str, Any]:
    """A request that the route would take from the owner."""
    tus = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
    if "uploads" in operation["tags"]:
        return {"headers": tus, **({"content": b"x"} if verb == "PATCH" else {})}
    options: dict[str, Any] = {"headers": {"If-Match": "*"}}
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if operation["operationId"] in BODIES:
        options["json"] = BODIES[operation["operationId"]]
    elif body is not None:
        reference = body["schema"].get("$ref") or next(
            a["$ref"] for a in body["schema"].get("anyOf", ()) if "$ref" in a
        )
        schema = fort.request("GET", "/openapi.json").json()["components"]["schemas"][reference.rpartition("/")[2]]
        options["json"] = schema.get("examples", [{}])[0]
    elif verb == "PUT":
        options["content"] = b"x"
    return options


def test_every_route_when_the_id_is_of_another_tenant_then_404_and_nothing_changes(fort: Fort, victim: Victim) -> None:
    state = [_owned(fort, victim)]
    tried: list[str] = []
    for verb, path, operation in operations(fort):
        if "{" not in path or path in OPEN or "/methods/" in path:
            continue
        address = address_of(path, victim.things)
        assert "{" not in address, f"{path}: say in `victim` what stands for its parameter"
        answer = fort.request(verb, address, **sending(fort, verb, operation))
        assert answer.status_code == 404, (verb, path, answer.status_code, answer.text)
        assert verb == "HEAD" or answer.json()["code"] == "not_found"
        tried.append(f"{verb} {path}")
    assert len(tried) >= 30
    state.append(_owned(fort, victim))
    assert state[0] == state[1]


def _owned(fort: Fort, victim: Victim) -> dict[str, Any]:
    """What the victim sees of its own."""
    seen = {}
    for verb, path, _ in operations(fort):
        if verb == "GET" and path not in OPEN and "/methods" not in path and "usage" not in path:
            answer = fort.request("GET", address_of(path, victim.things), key=victim.key)
            missing = "webhook" in path and victim.things["webhook_id"] in MADE_UP.values()
            missing = missing or path.endswith(("/files/{name}", "/pictures/{name}.png"))  # not of interactions
            assert answer.status_code == (404 if missing and "{" in path else 200), (path, answer.text)
            noted = "api-keys" in path or "webhooks" in path  # their last use is noted, deliveries are tried
            noted = noted or "audit" in path  # looking is noted
            if not missing and not noted:
                seen[path] = answer.content
    return seen


def test_every_route_when_no_key_or_a_wrong_one_is_sent_then_401(fort: Fort, victim: Victim) -> None:
    wrong = [victim.key[:-1] + ("A" if victim.key[-1] != "A" else "B"), "dsk_x_y", ""]
    for verb, path, operation in operations(fort):
        if path in OPEN:
            continue
        for key in wrong:
            answer = fort.request(verb, address_of(path, victim.things), key=key, **sending(fort, verb, operation))
            assert answer.status_code == 401, (verb, path, answer.status_code)


def test_jobs_when_they_name_things_of_another_tenant_then_unknown(fort: Fort, victim: Victim) -> None:
    theirs = f"{victim.things['dataset_id']}@1"
    ours = f"{fort.things['dataset_id']}@1"
    bodies = (
        ({"dataset": theirs, "method": "head-users"}, "unknown_dataset"),
        ({"dataset": victim.things["dataset_id"], "method": "auto"}, "unknown_dataset"),
        (
            {"dataset": ours, "method": "evaluate", "inputs": {"summary": victim.things["summary_id"]}},
            "unknown_summary",
        ),
        ({"dataset": ours, "method": "evaluate", "inputs": {"summary": theirs}}, "unknown_dataset"),
    )
    for body, code in bodies:
        answer = fort.request("POST", "/v1/jobs", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, code), body


def test_pages_and_idempotency_keys_when_of_another_tenant_then_of_no_use(fort: Fort, victim: Victim) -> None:
    fort.request("POST", "/v1/datasets", json={"name": "one more", "kind": "interactions"})
    token = fort.request("GET", "/v1/datasets?page_size=1").json()["next_page_token"]
    assert token
    answer = fort.request("GET", "/v1/datasets", params={"page_size": 1, "page_token": token}, key=victim.key)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_page")
    same = {"json": {"name": "same", "kind": "interactions"}, "headers": {"Idempotency-Key": "the-same-key"}}
    made = [fort.request("POST", "/v1/datasets", **same, key=key) for key in (fort.key, victim.key)]
    assert [answer.status_code for answer in made] == [201, 201]
    assert made[0].json()["id"] != made[1].json()["id"]


def test_blobs_when_another_tenant_has_the_same_bytes_then_neither_learns_of_it(fort: Fort, victim: Victim) -> None:
    """Equal files are stored once; who uploads a copy sees no difference, and deleting it leaves the other's."""
    dataset = fort.request("POST", "/v1/datasets", json={"name": "copy", "kind": "interactions"}).json()["id"]
    path = f"/v1/datasets/{dataset}/files/clicks.csv"
    assert fort.request("PUT", path, content=CSV).status_code == 201
    assert fort.request("DELETE", path).status_code == 204
    theirs = fort.request("GET", f"/v1/datasets/{victim.things['dataset_id']}/files/clicks.csv", key=victim.key)
    assert theirs.content == CSV
