"""The audit log: each act is there, by whom, in its transaction; only time and an erasure take it away again."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, event, insert, select, text
from sqlalchemy.exc import IntegrityError

from app.jobs.erase_tenant import begin_erasure, erase_tenants
from app.jobs.retain import Retention
from app.settings import Settings
from app.store.audit import record, record_reading
from app.store.ids import new_id
from app.store.tables import audit, tenant
from tests.integration.api.conftest import Api
from tests.integration.api.test_erase import life, swept
from tests.integration.api.test_uploads import begin, patch

DAY = timedelta(days=1)


def entries(api: Api, **filters: str) -> list[dict[str, Any]]:
    """The log, oldest first."""
    listed = api.get("/v1/audit", params=filters)
    assert listed.status_code == 200, listed.text
    return listed.json()["items"][::-1]


def acts(api: Api, **filters: str) -> list[tuple[str, str]]:
    return [(entry["act"], entry["object"]) for entry in entries(api, **filters)]


def actor_of(api: Api) -> str:
    return api.get("/v1/me").json()["key_id"]


def test_acts_when_done_then_each_is_in_the_log_with_its_key(api: Api) -> None:
    things = life(api, "word")
    dataset, job, made, report = things["dataset"], things["jobs"][0], things["summary"], things["reports"][0]
    hook = api.post("/v1/webhooks", json={"url": "https://hooks.example.com/"}).json()["id"]
    key = api.post("/v1/api-keys", json={"name": "word", "scopes": ["jobs:read"]}).json()["id"]
    for path in (
        f"/v1/datasets/{dataset}/files/word.csv",
        f"/v1/datasets/{dataset}/versions/1/files/x.parquet",
        f"/v1/summaries/{made}/download",
        f"/v1/summaries/{made}/files/rows.npz",
        f"/v1/reports/{report}",
    ):
        assert api.get(path).status_code == 200, path
    api.request("PATCH", f"/v1/datasets/{dataset}", json={"tags": {"a": "b"}}, headers={"If-Match": "*"})
    api.request("PATCH", f"/v1/webhooks/{hook}", json={"enabled": False})
    api.post(f"/v1/webhooks/{hook}/rotate")
    for path in (f"/v1/webhooks/{hook}", f"/v1/api-keys/{key}", f"/v1/reports/{report}", f"/v1/summaries/{made}"):
        assert api.delete(path).status_code == 204, path
    assert api.delete(f"/v1/datasets/{dataset}/files/word.csv").status_code == 204
    assert api.delete(f"/v1/jobs/{job}").status_code == 204
    assert api.delete(f"/v1/datasets/{dataset}", headers={"If-Match": "*"}).status_code == 204
    found = acts(api)
    assert Counter(act for act, _ in found if act.startswith("job")) == {
        "job.create": 5,
        "job.cancel": 1,
        "job.delete": 1,
    }
    assert {(act, one) for act, one in found if not act.startswith("job")} == {
        *((f"dataset.{verb}", dataset) for verb in ("create", "update", "delete")),
        *((f"file.{verb}", dataset) for verb in ("upload", "download", "delete")),
        *((f"version.{verb}", f"{dataset}@1") for verb in ("create", "download")),
        *((f"summary.{verb}", made) for verb in ("download", "delete")),
        *((f"report.{verb}", report) for verb in ("download", "delete")),
        *((f"webhook.{verb}", hook) for verb in ("create", "update", "rotate", "delete")),
        *((f"api_key.{verb}", key) for verb in ("create", "revoke")),
    }
    assert {entry["actor"] for entry in entries(api)} == {actor_of(api)}
    assert "word" not in json.dumps(entries(api)), "nothing that a user wrote"


def test_uploads_when_resumable_then_their_file_is_in_the_log(api: Api) -> None:
    dataset = api.dataset()["id"]
    patch(api, begin(api, dataset=dataset, path="a.csv", length=3).headers["location"], 0, b"abc")
    assert acts(api) == [("dataset.create", dataset), ("file.upload", dataset)]


def test_acts_when_refused_or_taken_back_then_not_in_the_log(api: Api) -> None:
    """The entry is in the transaction of its act: a failure at its very end takes both back."""
    dataset = api.dataset()["id"]
    assert api.delete(f"/v1/datasets/{dataset}", headers={"If-Match": '"x"'}).status_code == 412

    def fail(*_: Any) -> None:
        raise RuntimeError("at the commit")

    services: Any = api.client.app.state.services
    event.listen(services.engine, "commit", fail)
    try:
        assert api.post("/v1/datasets", json={"name": "x", "kind": "interactions"}).status_code == 500
    finally:
        event.remove(services.engine, "commit", fail)
    assert acts(api) == [("dataset.create", dataset)]
    assert len(api.get("/v1/datasets").json()["items"]) == 1


def test_downloads_when_repeated_in_a_minute_then_one_entry(api: Api, engine: Engine) -> None:
    dataset = api.version().partition("@")[0]
    other_key = api.as_key("datasets:read")
    for key in (api, other_key):
        for number in range(5):
            ranged = {"Range": f"bytes={number}-{number}"}
            assert key.get(f"/v1/datasets/{dataset}/files/clicks.csv", headers=ranged).status_code == 206
        key.request("HEAD", f"/v1/datasets/{dataset}/files/clicks.csv")
    minutes = {(entry["actor"], entry["at"]) for entry in entries(api, act="file.download")}
    assert {actor for actor, _ in minutes} == {actor_of(api), actor_of(other_key)}
    assert len(entries(api, act="file.download")) == len(minutes) <= 4, "the minute may have turned"


def test_admin_when_the_scope_is_missing_then_the_try_is_in_the_log_once_a_minute(api: Api) -> None:
    curious = api.as_key("jobs:read", "datasets:read")
    for _ in range(3):
        assert curious.post("/v1/api-keys", json={"name": "x", "scopes": ["admin"]}).status_code == 403
        assert curious.get("/v1/audit/export").status_code == 403
        assert curious.delete("/v1/datasets/ds_x", headers={"If-Match": "*"}).status_code == 403, "no matter of admins"
    found = entries(api, act="admin.refused")
    assert {(entry["actor"], entry["object"]) for entry in found} == {
        (actor_of(curious), "POST /v1/api-keys"),
        (actor_of(curious), "GET /v1/audit/export"),
    }
    assert len(found) <= 4, "the minute may have turned"


def test_keys_when_they_fall_together_then_each_is_in_the_log(api: Api) -> None:
    made = api.post("/v1/api-keys", json={"name": "a", "scopes": ["admin"]}).json()
    child = Api(api.client, api.engine, api.blobs, api.tenant_id, made["token"])
    grandchild = child.post("/v1/api-keys", json={"name": "b", "scopes": ["jobs:read"]}).json()["id"]
    assert api.delete(f"/v1/api-keys/{made['id']}").status_code == 204
    revoked = {(entry["actor"], entry["object"]) for entry in entries(api, act="api_key.revoke")}
    assert revoked == {(actor_of(api), made["id"]), (actor_of(api), grandchild)}


def test_list_when_filtered_and_paged_then_each_entry_once(api: Api, other: Api) -> None:
    names = [api.dataset(name=f"d{number}")["id"] for number in range(7)]
    other.dataset()
    with api.engine.begin() as conn:
        old = {"tenant_id": api.tenant_id, "id": new_id("aud"), "actor": "operator", "act": "api_key.create"}
        conn.execute(insert(audit).values(**old, object="key_x", at=datetime.now(UTC) - 10 * DAY))
    seen, token = [], ""
    while True:
        page = api.get("/v1/audit", params={"page_size": 3, "page_token": token}).json()
        seen += [entry["object"] for entry in page["items"]]
        if not (token := page["next_page_token"]):
            break
    assert seen == [*reversed(names), "key_x"]
    yesterday = (datetime.now(UTC) - DAY).isoformat()
    assert acts(api, before=yesterday) == acts(api, actor="operator") == [("api_key.create", "key_x")]
    assert [one for _, one in acts(api, after=yesterday, act="dataset.create")] == names
    assert acts(api, actor="key_none") == []
    assert api.get("/v1/audit", params={"after": "1700000000"}).status_code == 422
    assert api.get("/v1/audit", params={"since": yesterday}).json()["code"] == "unknown_parameter"


def test_export_when_longer_than_a_batch_then_whole_in_order_and_itself_in_the_log(
    api: Api, other: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.routes.audit._BATCH", 4)
    names = [api.dataset(name=f"d{number}")["id"] for number in range(10)]
    other.dataset()
    exported = api.get("/v1/audit/export", params={"act": "dataset.create"})
    assert exported.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in exported.text.splitlines()]
    assert [line["object"] for line in lines] == names
    assert lines == entries(api, act="dataset.create")
    assert acts(api, act="audit.export") == [("audit.export", api.tenant_id)]


@pytest.mark.parametrize(
    "statement", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", "TRUNCATE audit", "TRUNCATE audit CASCADE"]
)
def test_table_when_anything_but_an_insert_is_tried_then_refused(api: Api, engine: Engine, statement: str) -> None:
    api.dataset()
    with pytest.raises(IntegrityError, match="only added to"), engine.begin() as conn:
        conn.execute(text(statement))
    assert len(acts(api)) == 1


def test_entries_when_older_than_the_retention_then_gone_and_never_before_30_days(api: Api, engine: Engine) -> None:
    ages = {"fresh": 0, "a month": 29, "a year": 364, "more": 366}
    with engine.begin() as conn:
        for name, days in ages.items():
            row = {"tenant_id": api.tenant_id, "id": name, "actor": "operator", "act": "test", "object": name}
            conn.execute(insert(audit).values(**row, at=datetime.now(UTC) - days * DAY))
    with engine.begin() as conn:
        Retention(1e9, 1e9, audit_s=365 * 86_400).enforce(conn)
    assert [one for _, one in acts(api)] == ["a year", "a month", "fresh"]
    with pytest.raises(IntegrityError, match="only added to"), engine.begin() as conn:
        Retention(1e9, 1e9, audit_s=86_400).enforce(conn)
    with engine.begin() as conn:
        Retention(1e9, 1e9).enforce(conn)
    assert [one for _, one in acts(api)] == ["a month", "fresh"]


def test_tenant_when_erased_then_that_is_the_one_entry_that_stays(
    api: Api, other: Api, engine: Engine, settings: Settings
) -> None:
    life(api, "word")
    kept = acts(other.dataset() and other)
    mine = actor_of(api)
    assert api.delete(f"/v1/tenant?confirm={api.tenant_id}").status_code == 202
    with engine.begin() as conn:  # somebody who was let in just before
        record(conn, api.tenant_id, "key_late", "dataset.create", "ds_late")
    swept(engine, api, settings, rounds=2)
    with engine.connect() as conn:
        left = conn.execute(
            select(audit.c.actor, audit.c.act, audit.c.object).where(audit.c.tenant_id == api.tenant_id)
        )
        assert left.all() == [(mine, "tenant.erase", api.tenant_id)]
    assert acts(other) == kept
    with pytest.raises(IntegrityError, match="only added to"), engine.begin() as conn:
        conn.execute(text("DELETE FROM audit WHERE tenant_id = :id"), {"id": api.tenant_id})


def test_entries_when_noted_while_a_tenant_goes_then_none_outlives_it(api: Api, engine: Engine) -> None:
    """Whoever was let in before the erasure and commits late; this tenant has nothing that must be swept first."""

    def erase() -> None:
        with engine.begin() as conn:
            begin_erasure(conn, api.tenant_id, "operator")
        with engine.begin() as conn:
            erase_tenants(conn)

    with ThreadPoolExecutor(1) as threads:
        with engine.begin() as late:
            record(late, api.tenant_id, "key_late", "dataset.create", "ds_late")
            erasing = threads.submit(erase)
            with suppress(TimeoutError):
                erasing.result(0.5)
        erasing.result(30)
    with engine.connect() as conn:
        assert conn.scalar(select(tenant.c.id).where(tenant.c.id == api.tenant_id)) is None
        assert conn.scalars(select(audit.c.act).where(audit.c.tenant_id == api.tenant_id)).all() == ["tenant.erase"]


def test_entries_when_somebody_begins_an_erasure_to_delete_them_then_it_is_not_taken_back(
    api: Api, engine: Engine
) -> None:
    api.dataset()
    mine = {"id": api.tenant_id}
    with engine.connect() as conn:
        conn.execute(text("UPDATE tenant SET erasing_at = now() WHERE id = :id"), mine)
        conn.execute(text("DELETE FROM audit WHERE tenant_id = :id"), mine)
        with pytest.raises(IntegrityError, match="not taken back"):
            conn.execute(text("UPDATE tenant SET erasing_at = NULL WHERE id = :id"), mine)
    assert len(acts(api)) == 1


def test_downloads_when_noted_then_the_minute_is_in_the_id(api: Api, engine: Engine) -> None:
    """So that who exports pieces that overlap can leave out by its id what he has."""
    for _ in range(3):
        with engine.begin() as conn:
            record_reading(conn, api.tenant_id, "key_a", "file.download", "ds_a")
    for entry in entries(api):
        assert 60 * int(entry["id"][-7:], 16) == datetime.fromisoformat(entry["at"]).timestamp()
        assert len(entry["id"]) == len(new_id("aud"))
    assert 1 <= len({entry["id"] for entry in entries(api)}) == len(entries(api)) <= 2, "the minute may have turned"
