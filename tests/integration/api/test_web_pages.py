"""The pages as they are served: who sees what, what may stand in them, and that they show what the API knows."""

from __future__ import annotations

import json
import re
import statistics
import time
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import insert, text
from starlette.testclient import TestClient

from app.jobs.claim import claim_job
from app.jobs.commit import Outcome
from app.jobs.states import append_event
from app.store.ids import new_id
from app.store.tables import job, method
from app.web import page_routers
from tests.integration.api.conftest import Api
from tests.integration.api.test_sessions import Browser, signed_in

OPEN = ("/ui/sign-in", "/ui/static/{name}")
REPORT = """<!doctype html><html><head><style>:root { --ink: #000; } h1 { color: var(--ink); }</style></head><body>
<main><h1>Keeps 97 %</h1><svg role="img"><path fill="var(--c1)" d="M 0 0"/></svg></main></body></html>"""
DOCUMENT: dict[str, Any] = {
    "protocol": {"hash": "p1"},
    "verdict": {
        "label": "Ahead",
        "tone": "good",
        "value": 0.973,
        "low": 0.968,
        "high": 0.978,
        "metric_label": "nDCG@10",
    },
    "tables": [{"name": "sizes", "rows": [{"role": "summary", "rows": 235, "bytes": 3250, "compressed": 1000}]}],
    "cost": {"distilling": {"seconds": {"value": 12.0}, "peak_memory": {"value": 870.0}}},
    "warnings": [],
    "units": "users",
}


def routes() -> list[APIRoute]:
    return [route for router in page_routers() for route in router.routes if isinstance(route, APIRoute)]


def summary_of(api: Api, reference: str, report: dict[str, Any] | None = None, page: str = REPORT) -> dict[str, str]:
    """A summary with a report that says so."""
    document = DOCUMENT | (report or {})
    files = {"report.json": json.dumps(document).encode(), "report.html": page.encode(), "report.md": b"# r"}
    made = api.job(reference, force=True, seed=len(api.get("/v1/jobs").json()["items"]))
    outcome = Outcome(
        summary=api.stored({"manifest.json": b"{}", "load.py": b"pass"}),
        report=api.stored(files),
        manifest={"rows": 3},
        verdict=document["verdict"],
    )
    return {**api.finish(made["id"], outcome), "job": made["id"]}


@pytest.fixture
def browser(api: Api) -> Browser:
    return signed_in(api)


def filled_in(api: Api) -> list[str]:
    """The addresses of pages about things that this tenant has."""
    reference = api.version()
    made = summary_of(api, reference)
    waiting = api.job(reference, seed=77)["id"]
    dataset = reference.partition("@")[0]
    return [
        "/ui",
        "/ui/datasets",
        f"/ui/datasets/{dataset}",
        "/ui/jobs",
        "/ui/jobs?state=queued",
        f"/ui/jobs/{made['job']}",
        f"/ui/jobs/{waiting}",
        "/ui/jobs/new",
        f"/ui/jobs/new?dataset={dataset}",
        f"/ui/jobs/new?dataset={dataset}&method=auto",
        f"/ui/jobs/new?dataset={dataset}&method=compare",
        "/ui/summaries",
        f"/ui/summaries/{made['summary']}",
        f"/ui/reports/{made['report']}/style.css",
        "/ui/compare",
        f"/ui/compare?summary={made['summary']}",
        "/ui/methods",
        "/ui/methods?kind=interactions",
        "/ui/methods/interactions/auto",
        "/ui/api-keys",
        "/ui/webhooks",
        "/ui/status",
    ]


def test_every_page_when_asked_for_then_answers_under_a_policy_that_allows_nothing_inline(
    api: Api, browser: Browser
) -> None:
    for path in filled_in(api):
        answer = browser.get(path)
        assert answer.status_code == 200, (path, answer.text[:300])
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert re.findall(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", answer.text) == [], path
        loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*?(?:src|href)="([^"]*)"', answer.text)
        assert all(address.startswith(("/ui/", "data:")) for address in loaded), path
        if not path.endswith(".css"):
            assert answer.headers["cache-control"] == "no-store"
            assert answer.text.count("<h1") >= 1, path
            assert '<html lang="en">' in answer.text


def test_every_route_when_nobody_signed_in_then_the_sign_in(client: TestClient) -> None:
    tried = 0
    for route in routes():
        if route.path in OPEN or route.path == "/ui/{path:path}":
            continue
        address = re.sub(r"{\w+(:path)?}", "x", route.path)
        for verb in route.methods:
            answer = client.request(verb, address, follow_redirects=False)
            assert (answer.status_code, answer.headers["location"][:11]) == (303, "/ui/sign-in"), (verb, address)
            tried += 1
    assert tried >= 35


def test_every_page_when_the_thing_is_of_another_tenant_then_there_is_no_such_thing(api: Api, other: Api) -> None:
    reference = api.version()
    made = summary_of(api, reference)
    stranger = signed_in(other)
    things = {
        "dataset_id": reference.partition("@")[0],
        "job_id": made["job"],
        "summary_id": made["summary"],
        "report_id": made["report"],
        "key_id": "key_" + api.token.split("_")[1],
        "webhook_id": api.post("/v1/webhooks", json={"url": "https://hooks.example.com/"}).json()["id"],
    }
    tried = 0
    for route in routes():
        if "{" not in route.path or "{path" in route.path or "{kind}" in route.path or route.path in OPEN:
            continue
        for verb in route.methods:
            address = route.path.format(**things)
            form = {"enabled": "no"} if address.endswith("/switch") else {}
            answer = stranger.get(address) if verb == "GET" else stranger.post(address, form)
            assert answer.status_code == 404, (verb, address, answer.status_code)
            tried += 1
    assert tried >= 15
    assert browserless(api, made) == browserless(api, made)
    assert api.get(f"/v1/summaries/{made['summary']}").status_code == 200
    assert api.get(f"/v1/datasets/{things['dataset_id']}").status_code == 200


def browserless(api: Api, made: dict[str, str]) -> Any:
    return api.get(f"/v1/jobs/{made['job']}").json()


def test_page_when_the_key_lacks_the_scope_then_said_which(api: Api) -> None:
    browser = Browser(api.client)
    browser.sign_in(api.as_key("datasets:read").token)
    answer = browser.get("/ui/jobs")
    assert answer.status_code == 403
    assert "jobs:read" in answer.text
    assert browser.post("/ui/datasets", {"name": "x", "kind": "interactions"}).status_code == 403


def test_page_when_there_is_none_then_a_page_that_says_so(browser: Browser) -> None:
    for path in ("/ui/nothing", "/ui/jobs/job_none", "/ui/static/../render.py", "/ui/static/none.css"):
        answer = browser.get(path)
        assert answer.status_code == 404, path
        assert "text/html" in answer.headers["content-type"]


def test_names_when_they_hold_markup_then_they_are_text(api: Api, browser: Browser) -> None:
    evil = "<img src=x onerror=alert(1)>\"'&"
    made = api.dataset(name=evil)
    waiting = api.job(seed=5, labels={})["id"]
    api.log(waiting, "<script>alert(2)</script>")
    for path in ("/ui", "/ui/datasets", f"/ui/datasets/{made['id']}", f"/ui/jobs/{waiting}"):
        page = browser.get(path).text
        assert "<img src=x" not in page
        assert "<script>alert" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in browser.get("/ui/datasets").text


def test_dataset_when_ready_then_shows_how_it_was_read_its_rows_and_numbers(api: Api, browser: Browser) -> None:
    reference = api.version(visits=4321)
    page = browser.get(f"/ui/datasets/{reference.partition('@')[0]}").text
    assert "4\u202f321" in page
    assert page.count("<tr>") > 10
    assert "40\u202f000" in page


def test_dataset_when_made_and_read_by_forms_then_as_the_api_would(api: Api, browser: Browser) -> None:
    made = browser.post("/ui/datasets", {"name": "shop", "kind": "interactions"})
    address = made.headers["location"]
    dataset = address.rpartition("/")[2]
    assert "disabled" in browser.get(address).text, "there is nothing to read yet"
    assert api.put(f"/v1/datasets/{dataset}/files/c.csv", content=b"user,item\n1,2\n").status_code == 201
    wrong = browser.post(f"{address}/read", {"read.split": "random", "read.columns.user": "u", "read.split.x": ""})
    assert (wrong.status_code, wrong.headers["location"]) == (303, address)
    view = api.get(f"/v1/datasets/{dataset}").json()
    assert (view["state"], view["columns"], view["options"]) == ("ingesting", {"user": "u"}, {})
    assert "hx-get" in browser.get(address).text, "it goes on by itself while the files are read"


def test_bundled_dataset_when_tried_twice_then_one_dataset_is_read(api: Api, browser: Browser) -> None:
    addresses = {browser.post("/ui/datasets/bundled").headers["location"] for _ in range(2)}
    assert len(addresses) == 1
    [view] = api.get("/v1/datasets").json()["items"]
    assert (view["state"], view["kind"]) == ("ingesting", "interactions")
    files = api.get(f"/v1/datasets/{view['id']}/files").json()["items"]
    assert [file["path"] for file in files] == ["msweb.parquet"]


def test_catalogue_when_a_plug_in_adds_a_kind_then_its_method_has_a_form_and_a_place(
    api: Api, browser: Browser
) -> None:
    schema = {
        "type": "object",
        "properties": {
            "budget": {"type": "integer", "default": 7, "minimum": 2, "description": "Stars to keep."},
            "glow": {"type": "string", "enum": ["warm", "cold"], "default": "warm", "description": "Light of a star."},
        },
        "additionalProperties": False,
        "x-about": "Stars.\n\nThe brightest are kept, after Ptolemy.",
    }
    common: dict[str, Any] = {"kind": "stars", "version": 1, "paper": "arXiv:1234.5678", "device": "cpu", "needs": []}
    cost = {"memory_mb": 10, "units": "stars"}
    read = {"name": "ingest", "task": "ingest", "queue": "io", "summary": "Stars of the sky.", "params_schema": {}}
    pick = {
        "name": "brightest",
        "task": "gaze",
        "queue": "cpu",
        "summary": "Keep bright ones.",
        "params_schema": schema,
    }
    with api.engine.begin() as conn:
        for row in (read, pick):
            conn.execute(insert(method).values(**common, **row, cost=cost, evaluate_schema={}, inputs=[]))
    try:
        assert "Stars of the sky." in browser.get("/ui/datasets").text
        about = browser.get("/ui/methods/stars/brightest").text
        assert "after Ptolemy" in about
        assert "https://arxiv.org/abs/1234.5678" in about
        dataset = api.dataset(kind="stars", name="sky")["id"]
        api.put(f"/v1/datasets/{dataset}/files/s.csv", content=b"x\n1\n")
        begun = api.post(f"/v1/datasets/{dataset}/commit").json()["job"]["id"]
        manifest = {"statistics": {"stars": 9}, "preview": [], "schema": {}, "warnings": []}
        api.finish(begun, Outcome(canonical=api.stored({"x.parquet": b"1"}), version=manifest))
        gallery = browser.get(f"/ui/jobs/new?dataset={dataset}").text
        assert "Gaze" in gallery, "a task that nobody here knows has its own name"
        assert "Keep bright ones." in gallery
        form = browser.get(f"/ui/jobs/new?dataset={dataset}&method=brightest").text
        assert re.search(r'name="params.budget" type="number"[^>]*min="2"[^>]*value="7"', form)
        assert "Light of a star." in form
        sent = {"dataset": dataset, "method": "brightest", "params.budget": "3", "params.glow": "cold"}
        made = browser.post("/ui/jobs", sent)
        assert api.get(made.headers["location"].replace("/ui", "/v1")).json()["params"] == {"budget": 3, "glow": "cold"}
    finally:
        with api.engine.begin() as conn:
            conn.execute(text("DELETE FROM method WHERE kind = 'stars'"))


def test_job_form_when_a_value_is_wrong_then_shown_beside_its_field_and_nothing_is_made(
    api: Api, browser: Browser
) -> None:
    reference = api.version()
    before = len(api.get("/v1/jobs").json()["items"])
    answer = browser.post("/ui/jobs", {"dataset": reference, "method": "auto", "params.budget": "0", "seed": "3"})
    assert answer.status_code == 422
    assert re.search(
        r'id="params.budget"[^>]*aria-describedby="[^"]*params.budget.error"[^>]*aria-invalid', answer.text
    )
    assert 'value="3"' in answer.text, "what was filled in is still there"
    assert len(api.get("/v1/jobs").json()["items"]) == before


def test_estimate_when_asked_then_what_the_api_says(api: Api, browser: Browser) -> None:
    reference = api.version()
    part = browser.post("/ui/jobs/estimate", {"dataset": reference, "method": "auto", "params.budget": "10"}).text
    assert "<html" not in part
    assert "about 17\u202fmin" in part, "2 + 0.5 * 10 * sqrt(40 000) s"
    assert "about 15\u202fs" in part, "3 s for each of 5 draws"
    wrong = browser.post("/ui/jobs/estimate", {"dataset": reference, "method": "auto", "params.budget": "x"}).text
    assert 'class="wrong"' in wrong


def test_job_when_cancelled_by_its_button_then_cancelled(api: Api, browser: Browser) -> None:
    made = api.job(seed=8)["id"]
    assert ">Cancel</button>" in browser.get(f"/ui/jobs/{made}").text
    assert browser.post(f"/ui/jobs/{made}/cancel").status_code == 303
    assert api.state_of(made) == "cancelled"
    assert browser.post(f"/ui/jobs/{made}/retry").headers["location"].startswith("/ui/jobs/job_")
    assert browser.post(f"/ui/jobs/{made}/delete").headers["location"] == "/ui/jobs"
    assert browser.get(f"/ui/jobs/{made}").status_code == 404


def test_job_when_it_runs_then_phases_metrics_and_log_are_shown(api: Api, browser: Browser) -> None:
    made = api.job(seed=9)["id"]
    with api.engine.begin() as conn:
        assert claim_job(conn, made, "w1", 30.0)
    for step in range(3):
        with api.engine.begin() as conn:
            data = {"phase": "fit", "fraction": step / 4, "step": step, "total": 4, "metrics": {"loss": 3.0 - step}}
            append_event(conn, made, "progress", data)
    api.log(made, "half way there")
    page = browser.get(f"/ui/jobs/{made}").text
    assert "loss: 3 values from 3 to 1" in page
    assert "half way there" in page
    assert re.search(r'<th scope="row">fit</th><td class="num">under way', page)


def test_stream_of_a_job_when_it_has_ended_then_sends_its_parts_and_ends(api: Api, browser: Browser) -> None:
    made = summary_of(api, api.version())["job"]
    stream = browser.get(f"/ui/jobs/{made}/stream").text
    assert '<hx-partial hx-target="#job-now" hx-swap="outerMorph">' in stream
    assert "See the summary" in stream
    assert stream.rstrip().endswith("event: end\ndata: {}")


def test_summary_when_shown_then_its_report_stands_in_the_page_with_a_style_of_its_own(
    api: Api, browser: Browser
) -> None:
    made = summary_of(api, api.version())
    page = browser.get(f"/ui/summaries/{made['summary']}").text
    assert '<article class="report"><h1>Keeps 97 %</h1>' in page.replace("\n", "")
    assert f"/v1/summaries/{made['summary']}/download" in page
    assert "runpy.run_path" in page
    style = browser.get(f"/ui/reports/{made['report']}/style.css")
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert style.text.startswith("@scope (.report) {:scope { --ink")


@pytest.mark.parametrize("evil", ["<script>x</script>", '<p style="color:red">x</p>', "<p onclick=x>x</p>"])
def test_summary_when_its_report_has_what_the_policy_refuses_then_it_is_linked_instead(
    api: Api, browser: Browser, evil: str
) -> None:
    made = summary_of(api, api.version(), page=f"<main>{evil}</main>")
    page = browser.get(f"/ui/summaries/{made['summary']}").text
    assert evil not in page
    assert f"/v1/reports/{made['report']}.html" in page


def test_compare_when_protocols_differ_then_no_table_is_shared(api: Api, browser: Browser) -> None:
    reference = api.version()
    first, second = summary_of(api, reference), summary_of(api, reference)
    third = summary_of(api, reference, {"protocol": {"hash": "p2"}})
    query = "&".join(f"summary={one['summary']}" for one in (first, second, third))
    page = browser.get(f"/ui/compare?{query}").text
    assert page.count("<table") == 2
    assert page.count("<strong>97.3</strong>") == 3
    assert "[96.8, 97.8]" in page
    [tested] = re.findall(r"inputs.summaries=([^\"]*)", page)
    assert set(tested.split(",")) == {first["summary"], second["summary"]}, "what shares a table can be tested"
    assert "3.25\u202fkB" in page


def test_keys_when_made_and_revoked_by_forms_then_shown_once(api: Api, browser: Browser) -> None:
    answer = browser.post("/ui/api-keys", {"name": "nightly", "scopes": ["datasets:read"], "days": "7"})
    [token] = re.findall(r"dsk_[\w-]+", answer.text)
    assert answer.headers["cache-control"] == "no-store"
    assert token not in browser.get("/ui/api-keys").text
    made = api.client.get("/v1/me", headers={"Authorization": f"Bearer {token}"}).json()
    assert made["scopes"] == ["datasets:read"]
    assert browser.post(f"/ui/api-keys/{made['key_id']}/revoke").status_code == 303
    assert api.client.get("/v1/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert browser.post("/ui/api-keys", {"name": ""}).status_code == 422


def test_webhooks_when_handled_by_forms_then_as_the_api_has_them(api: Api, browser: Browser) -> None:
    answer = browser.post("/ui/webhooks", {"url": "https://hooks.example.com/x", "events": ["job.failed"]})
    assert "whsec_" in answer.text
    [one] = api.get("/v1/webhooks").json()["items"]
    assert one["events"] == ["job.failed"]
    assert browser.post(f"/ui/webhooks/{one['id']}/test").status_code == 303
    assert "webhook.test" in browser.get("/ui/webhooks").text
    assert browser.post(f"/ui/webhooks/{one['id']}/switch", {"enabled": "no"}).status_code == 303
    assert api.get(f"/v1/webhooks/{one['id']}").json()["enabled"] is False
    assert browser.post(f"/ui/webhooks/{one['id']}/delete").status_code == 303
    assert api.get("/v1/webhooks").json()["items"] == []
    assert browser.post("/ui/webhooks", {"url": "http://127.0.0.1/"}).status_code == 422


def test_static_files_when_named_with_their_content_then_kept_for_ever(client: TestClient, browser: Browser) -> None:
    [address] = re.findall(r'href="(/ui/static/page.css[^"]*)"', browser.get("/ui").text)
    answer = client.get(address)
    assert "immutable" in answer.headers["cache-control"]
    assert client.get("/ui/static/page.css").headers["cache-control"] == "no-cache"
    assert client.get("/ui/static/page.css?v=other").headers["cache-control"] == "no-cache"


def test_list_of_jobs_when_there_are_a_thousand_then_quick(api: Api, browser: Browser) -> None:
    first = api.job(seed=1)
    with api.engine.begin() as conn:
        row = dict(conn.execute(job.select().where(job.c.id == first["id"])).mappings().one())
        rows = [{**row, "id": new_id("job"), "input_hash": str(n)} for n in range(1000)]
        conn.execute(insert(job), rows)
    browser.get("/ui/jobs")
    spent = []
    for _ in range(5):
        begun = time.perf_counter()
        assert browser.get("/ui/jobs").status_code == 200
        spent.append(time.perf_counter() - begun)
    print(f"list of 1 000 jobs: median {1000 * statistics.median(spent):.0f} ms, best {1000 * min(spent):.0f} ms")
    assert min(spent) < 0.3


def test_schema_when_described_then_has_no_page_in_it(client: TestClient) -> None:
    app = client.app
    assert isinstance(app, FastAPI)
    assert not [path for path in app.openapi()["paths"] if path.startswith("/ui")]
