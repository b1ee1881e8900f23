"""Jobs over HTTP: asked for, followed, stopped, repeated."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import pytest
from pydantic import TypeAdapter
from sqlalchemy import func, select

from app.jobs.claim import claim_job
from app.jobs.commit import Outcome
from app.jobs.states import transition
from app.store.tables import idempotency_key, job
from tests.integration.api.conftest import COST, EVALUATE, SCHEMA, Api, change_method
from worker.contract.budget import Budget, fills_bytes
from worker.kinds.interactions.needs import JUDGING_NEEDS


def test_create_job_when_valid_then_202_and_readable(api: Api) -> None:
    reference = api.version()
    body = {"dataset": reference, "method": "head-users", "params": {"budget": 3}, "labels": {"team": "x"}, "seed": 7}
    answer = api.post("/v1/jobs", json=body, headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"})
    made = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/jobs/{made['id']}"
    assert answer.headers["retry-after"] == "2"
    assert (made["dataset"], made["state"], made["task"], made["seed"]) == (reference, "queued", "select", 7)
    assert made["params"] == {"budget": 3, "split": "random", "columns": {}}
    assert made["queue_position"] is not None
    assert api.get(f"/v1/jobs/{made['id']}").json() == made


def test_create_job_when_no_method_is_named_then_auto(api: Api) -> None:
    answer = api.post("/v1/jobs", json={"dataset": api.version().partition("@")[0]})
    assert (answer.json()["method"], answer.json()["task"]) == ("auto", "distil")


@pytest.mark.parametrize(
    ("change", "status", "code", "pointer"),
    [
        ({"dataset": "ds_none"}, 422, "unknown_dataset", "/dataset"),
        ({"method": "headusers"}, 422, "unknown_method", "/method"),
        ({"task": "distil"}, 422, "task_mismatch", "/task"),
        ({"task": "ingest"}, 422, "invalid_request", "/task"),
        ({"params": {"budgit": 1}}, 422, "invalid_params", "/params/budgit"),
        ({"params": {"budget": 0}}, 422, "invalid_params", "/params/budget"),
        ({"method": "evaluate"}, 422, "missing_input", "/inputs/summary"),
        ({"method": "evaluate", "inputs": {"summary": "sum_no"}}, 422, "unknown_summary", "/inputs/summary"),
        ({"device": "tpu"}, 422, "invalid_request", "/device"),
        ({"device": "cuda"}, 422, "unsupported_device", "/device"),
        ({"seed": 2**63}, 422, "invalid_request", "/seed"),
        ({"limits": {"time_s": 5}}, 422, "invalid_request", "/limits/time_s"),
        ({"limits": {"evaluate_s": 5}}, 422, "invalid_request", "/limits/evaluate_s"),
        ({"task": "dance"}, 422, "task_mismatch", "/task"),
        ({"labels": {str(n): "x" for n in range(17)}}, 422, "invalid_request", "/labels"),
        ({"priority": 11}, 422, "invalid_request", "/priority"),
        ({"webhook": {"url": "http://x"}}, 422, "unsafe_url", "/webhook/url"),
        ({"webhook": {}}, 422, "invalid_request", "/webhook"),
        ({"notify": {"url": "https://x"}}, 422, "invalid_request", "/notify"),
    ],
)
def test_create_job_when_wrong_then_refused_with_pointer(
    api: Api, change: dict[str, Any], status: int, code: str, pointer: str
) -> None:
    answer = api.post("/v1/jobs", json={"dataset": api.version(), "method": "head-users", **change})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert api.get("/v1/jobs?task=select").json()["items"] == []


def test_create_job_when_a_share_is_one_of_the_bytes_then_the_method_judges_it(api: Api) -> None:
    extra = fills_bytes("rows or bytes", only={"export": "ranked"})["json_schema_extra"]
    schema = {"type": "object", "properties": {"budget": extra, "export": {"type": "string", "default": "soft"}}}
    body = {"dataset": api.version(), "method": "auto"}
    change_method(api.engine, "auto", params_schema=schema)
    cases = (
        ({"budget": "0.01%", "export": "ranked"}, 200),
        ({"budget": "0.01%", "export": "soft"}, 422),
        ({"budget": "0.01%"}, 422),  # filled in: soft
        ({"budget": "0", "export": "ranked"}, 422),
        ({"budget": 1000, "export": "ranked"}, 422),
    )
    try:
        for params, status in cases:
            answer = api.post("/v1/jobs?validate_only=true", json={**body, "params": params})
            assert answer.status_code == status, params
        each = {"value": 1, "powers": {"budget": 1}}
        change_method(api.engine, "auto", cost={"units": "users", "estimate": {"seconds": [each]}})
        for export, seconds in (("soft", 50), ("ranked", None)):  # of 1,000 users
            asked = {**body, "params": {"budget": "5%", "export": export}}
            answer = api.post("/v1/jobs?validate_only=true", json=asked)
            assert answer.json()["cost"]["seconds"] == seconds
    finally:
        change_method(api.engine, "auto", params_schema=SCHEMA, cost=COST)


def test_create_job_when_the_version_lacks_what_judging_needs_then_refused_with_the_cure(api: Api) -> None:
    needs = [asdict(need) for need in JUDGING_NEEDS]
    learners = {"type": "array", "items": {"type": "string"}, "default": ["ease"]}
    schema = {"type": "object", "properties": {"learners": learners}, "x-needs": needs}
    featured = {"learners": ["ease", "attention-item-features"]}
    cases = (
        ({"users_with_test": 0}, {}, "too_few_rows", "/dataset", "`evaluate` on the dataset"),
        ({"users_with_test": 9, "item_features": 0}, featured, "invalid_input", "/evaluate/learners", "item_features"),
        ({"users_with_test": 9, "item_features": 0}, {}, "", "", ""),
        ({"users_with_test": 9, "item_features": 4}, featured, "", "", ""),
        ({}, featured, "", "", ""),  # read before such was counted: the worker sees
    )
    change_method(api.engine, "head-users", evaluate_schema=schema)
    try:
        for counted, evaluate, code, pointer, hint in cases:
            body = {"dataset": api.version(**counted), "method": "head-users", "evaluate": evaluate}
            answer = api.post("/v1/jobs?validate_only=true", json=body)
            if not code:
                assert answer.status_code == 200, answer.text
                continue
            assert api.post("/v1/jobs", json=body).json()["code"] == answer.json()["code"] == code
            assert answer.json()["errors"][0]["pointer"] == pointer
            assert hint in answer.json()["hint"]
        assert api.get("/v1/jobs?task=select").json()["items"] == []
    finally:
        change_method(api.engine, "head-users", evaluate_schema=EVALUATE)


@pytest.mark.parametrize(
    ("budget", "code"),
    [
        (1000, "budget_too_large"),
        ("100%", "budget_too_large"),
        ("0.04%", "budget_too_small"),
        ("0", "budget_too_small"),
        ("9" * 400 + "%", "budget_too_large"),
        ("9" * 400, "budget_too_large"),
        (10**300, "budget_too_large"),
        (1e300, "budget_too_large"),
    ],
)
def test_create_job_when_the_version_cannot_have_the_budget_then_refused_with_the_limit(
    api: Api, budget: int | str, code: str
) -> None:
    schema = {"type": "object", "properties": {"budget": TypeAdapter(Budget).json_schema()}}
    body = {"dataset": api.version(), "method": "auto", "params": {"budget": budget}}
    change_method(api.engine, "auto", params_schema=schema)
    try:
        for path in ("/v1/jobs", "/v1/jobs?validate_only=true"):
            problem = api.post(path, json=body).json()
            assert (problem["code"], problem["errors"][0]["pointer"]) == (code, "/params/budget")
            assert "between 1 and 999 users" in problem["hint"]
            for possible in (999, "99.9%", "0.06%", "150kB"):
                allowed = {**body, "params": {"budget": possible}}
                assert api.post("/v1/jobs?validate_only=true", json=allowed).status_code == 200
            assert [made_with(api, body, text) for text in ("1e2", "100.0", "100")] == ["100"] * 3
            for wrong in ('"1e2"', "0.5", "-3", "true", '""', '"5 kg"', "[5]"):
                assert made_with(api, body, wrong) == "invalid_params at /params/budget"
            for no_json in ("NaN", "1e400"):
                assert made_with(api, body, no_json).startswith("invalid_")
    finally:
        change_method(api.engine, "auto", params_schema=SCHEMA)


def made_with(api: Api, body: dict[str, Any], budget: str) -> str:
    """The budget, as JSON, that a job with this budget (JSON) would have, or its refusal."""
    text = json.dumps({**body, "params": {"budget": "here"}}).replace('"here"', budget)
    answer = api.post("/v1/jobs?validate_only=true", content=text, headers={"content-type": "application/json"})
    if answer.status_code == 200:
        return json.dumps(answer.json()["params"]["budget"])
    return f"{answer.json()['code']} at {answer.json()['errors'][0]['pointer']}"


def test_create_job_when_version_is_not_ready_then_409(api: Api) -> None:
    dataset_id = api.dataset()["id"]
    api.put(f"/v1/datasets/{dataset_id}/files/a.csv", content=b"1")
    reference = api.post(f"/v1/datasets/{dataset_id}/commit").json()["reference"]
    answer = api.post("/v1/jobs", json={"dataset": reference, "method": "head-users"})
    assert (answer.status_code, answer.json()["code"]) == (409, "dataset_not_ready")


def test_create_job_when_only_validated_then_nothing_is_stored(api: Api) -> None:
    reference = api.version()
    answer = api.post("/v1/jobs?validate_only=true", json={"dataset": reference, "method": "head-users"})
    assert answer.status_code == 200
    unknown = {"seconds": None, "memory_mb": None}
    cost = {"seconds": None, "memory_mb": 100, "judging": unknown}
    assert (answer.json()["id"], answer.json()["cost"]) == (None, cost)
    assert api.get("/v1/jobs?task=select").json()["items"] == []


@pytest.mark.parametrize(("draws", "judging_s"), [({}, 15.0), ({"draws": 40}, 120.0)])
def test_create_job_when_only_validated_then_says_what_it_and_its_judging_will_take(
    api: Api, draws: dict[str, int], judging_s: float
) -> None:
    body = {"dataset": api.version(), "params": {"budget": 20}, "evaluate": draws}
    cost = api.post("/v1/jobs?validate_only=true", json=body).json()["cost"]
    # 2 + 0.5 * 20 * sqrt(40000), to three digits
    assert cost == {"seconds": 2000, "memory_mb": 40, "judging": {"seconds": judging_s, "memory_mb": None}}


def test_create_job_when_inputs_are_many_then_kept_in_order(api: Api) -> None:
    reference, made = api.version(), [api.summary({"a": content})["summary"] for content in (b"1", b"2")]
    job = api.job(reference, method="compare", inputs={"summaries": made[::-1]})
    assert job["inputs"] == {"summaries": made[::-1]}
    assert api.job(reference, method="compare", inputs={"summaries": made})["input_hash"] != job["input_hash"]
    assert api.job(reference, method="compare", inputs={"summaries": made[0]})["inputs"] == {"summaries": made[:1]}


def test_create_job_when_33_references_are_given_then_refused(api: Api) -> None:
    inputs = {"a": ["sum_x"] * 20, "b": ["sum_y"] * 12, "c": "sum_z"}
    answer = api.post("/v1/jobs", json={"dataset": api.version(), "inputs": inputs})
    assert answer.json()["errors"][0]["pointer"] == "/inputs"
    assert "32" in answer.json()["detail"]


def test_create_job_when_time_for_judging_is_given_then_kept(api: Api) -> None:
    assert api.job(limits={"evaluate_s": 60})["limits"] == {"evaluate_s": 60}


def test_create_job_when_identical_work_is_done_then_answered_from_it(api: Api) -> None:
    reference = api.version()
    first = api.job(reference)
    assert api.job(reference)["id"] == first["id"]
    result = api.finish(first["id"], Outcome(summary=api.stored({"a": b"1"})))
    again = api.job(reference)
    assert (again["state"], again["cached_from"], again["result"]) == ("succeeded", first["id"], result)
    assert api.job(reference, force=True)["state"] == "queued"


def test_create_job_when_queue_is_full_then_429(api: Api, client: Any) -> None:
    reference = api.version()
    settings = client.app.state.services.settings
    before, settings.queue_limit = settings.queue_limit, 2
    try:
        answers = [
            api.post("/v1/jobs", json={"dataset": reference, "method": "head-users", "seed": n}) for n in range(3)
        ]
    finally:
        settings.queue_limit = before
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    assert answers[2].json()["code"] == "queue_full"
    assert answers[2].headers["retry-after"]


def test_create_job_when_50_equal_posts_come_at_once_then_one_job(api: Api) -> None:
    body = {"dataset": api.version(), "method": "head-users", "force": True}

    def send(_: int) -> Any:
        return api.post("/v1/jobs", json=body, headers={"Idempotency-Key": "one"})

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(send, range(50)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    made = [answer for answer in answers if answer.status_code == 202]
    assert len({answer.json()["id"] for answer in made}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in made) == 1
    assert all(answer.headers["retry-after"] for answer in answers if answer.status_code == 409)
    with api.engine.connect() as conn:
        mine = select(func.count()).where(job.c.tenant_id == api.tenant_id, job.c.task == "select")
        assert conn.scalar(mine) == 1
        assert conn.scalar(select(func.count()).where(idempotency_key.c.tenant_id == api.tenant_id)) == 1


def test_idempotency_key_when_replayed_then_same_answer_and_other_body_is_refused(api: Api) -> None:
    reference = api.version()
    headers = {"Idempotency-Key": "k" * 255}
    body = {"dataset": reference, "method": "head-users"}
    first = api.post("/v1/jobs", json=body, headers=headers)
    again = api.post("/v1/jobs", content=f'{{"method":"head-users", "dataset":"{reference}"}}', headers={
        **headers, "Content-Type": "application/json"})  # fmt: skip
    assert (again.status_code, again.json(), again.headers["location"]) == (
        202,
        first.json(),
        first.headers["location"],
    )
    assert again.headers["idempotency-replayed"] == "true"
    other = api.post("/v1/jobs", json={**body, "seed": 1}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    elsewhere = api.post("/v1/datasets", json={"name": "x", "kind": "graph"}, headers=headers)
    assert elsewhere.status_code == 201


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "a\x7f"])
def test_idempotency_key_when_not_visible_ascii_then_422(api: Api, key: str) -> None:
    answer = api.post("/v1/datasets", json={"name": "x", "kind": "graph"}, headers={"Idempotency-Key": key})
    assert answer.status_code == 422


def test_idempotency_key_when_refused_first_then_may_be_used_again(api: Api) -> None:
    headers = {"Idempotency-Key": "again"}
    assert api.post("/v1/jobs", json={"dataset": "ds_none"}, headers=headers).status_code == 422
    body = {"dataset": api.version(), "method": "head-users"}
    assert api.post("/v1/jobs", json=body, headers=headers).status_code == 202


def test_get_job_when_it_changes_then_etag_changes(api: Api) -> None:
    made = api.job()
    path = f"/v1/jobs/{made['id']}"
    tag = api.get(path).headers["etag"]
    assert not tag.startswith("W/")
    assert api.get(path, headers={"If-None-Match": f'"other", {tag}'}).status_code == 304
    api.log(made["id"], "hello")
    changed = api.get(path, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag
    assert changed.json()["last_seq"] == made["last_seq"] + 1


def test_list_jobs_when_filtered_then_only_those(api: Api) -> None:
    one, two = api.version(b"1"), api.version(b"2")
    a = api.job(one, labels={"team": "x", "run": "1"})["id"]
    b = api.job(two, method="auto", labels={"team": "y"})["id"]

    def ids(query: str) -> list[str]:
        items = api.get(f"/v1/jobs?{query}").json()["items"]
        return [item["id"] for item in items if item["task"] != "ingest"]

    assert ids("") == [b, a]
    assert ids("task=distil") == [b]
    assert ids(f"dataset={one}") == [a]
    assert ids(f"dataset={two.partition('@')[0]}") == [b]
    assert ids(f"dataset={two.partition('@')[0]}@2") == []
    assert ids("label=team") == [b, a]
    assert ids("label=team=x&label=run=1") == [a]
    assert ids("label=team=x&label=run=2") == []
    api.post(f"/v1/jobs/{a}/cancel")
    assert ids("state=cancelled") == [a]
    assert api.get("/v1/jobs?state=lost").status_code == 422
    assert api.get("/v1/jobs?dataset=ds_x@z").status_code == 422


def test_cancel_when_queued_then_cancelled_and_when_running_then_cancelling(api: Api) -> None:
    waiting, running = api.job(api.version(b"1")), api.job(api.version(b"2"))
    with api.engine.begin() as conn:
        claim_job(conn, running["id"], "w1", 30.0)
    assert api.post(f"/v1/jobs/{waiting['id']}/cancel").json()["state"] == "cancelled"
    assert api.post(f"/v1/jobs/{running['id']}/cancel").json()["state"] == "cancelling"
    assert api.post(f"/v1/jobs/{waiting['id']}/cancel").json()["state"] == "cancelled"


def test_retry_when_failed_then_a_new_job_and_when_alive_then_409(api: Api) -> None:
    made = api.job()
    refused = api.post(f"/v1/jobs/{made['id']}/retry")
    assert (refused.status_code, refused.json()["code"]) == (409, "job_not_finished")
    with api.engine.begin() as conn:
        claim_job(conn, made["id"], "w1", 30.0)
        transition(conn, made["id"], "failed", values={"error": {"code": "internal", "detail": "x"}})
    again = api.post(f"/v1/jobs/{made['id']}/retry")
    assert again.status_code == 202
    assert (again.json()["retry_of"], again.json()["state"]) == (made["id"], "queued")
    assert again.json()["id"] != made["id"]
    assert api.get(f"/v1/jobs/{made['id']}").json()["error"]["code"] == "internal"


def test_queue_position_when_priority_is_higher_then_before(api: Api) -> None:
    reference = api.version()
    first = api.job(reference, seed=1, priority=9)
    second = api.job(reference, seed=2, priority=10)
    first_now = api.get(f"/v1/jobs/{first['id']}").json()["queue_position"]
    assert (first_now, second["queue_position"]) == (1, 0)


def test_methods_when_listed_then_filtered_and_without_ingest(api: Api) -> None:
    names = [item["name"] for item in api.get("/v1/methods").json()["items"]]
    assert names == ["auto", "compare", "evaluate", "head-users"]
    assert [item["name"] for item in api.get("/v1/methods?task=select").json()["items"]] == ["head-users"]
    assert api.get("/v1/methods?kind=graph").json()["items"] == []
    assert api.get("/v1/methods?kind=nobody-has-it&task=dance").json()["items"] == []
    [takes] = api.get("/v1/methods/interactions/compare").json()["inputs"]
    assert takes == {
        "name": "summaries", "type": "summary", "kind": "", "required": True, "many": True, "description": "",
    }  # fmt: skip
    one = api.get("/v1/methods/interactions/head-users").json()
    assert one["defaults"]["budget"] == 10
    assert api.get("/v1/methods/interactions/ingest").status_code == 200
    assert api.get("/v1/methods/graph/head-users").status_code == 404
