"""What lists show and how they are filtered; and jobs that are deleted."""

from __future__ import annotations

from typing import Any

import pytest

from app.jobs.commit import Outcome
from tests.integration.api.conftest import Api


def ids(api: Api, path: str, **filters: Any) -> list[str]:
    answer = api.get(path, params=filters)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def exporting(api: Api) -> dict[str, str]:
    """The result of a job that made a summary with an export."""
    made = api.job(force=True)
    files = api.stored({"x.parquet": b"exported"})
    return api.finish(made["id"], Outcome(summary=api.stored({"manifest.json": b"{}"}), dataset=files))


def test_datasets_when_listed_then_have_state_rows_and_size(api: Api) -> None:
    dataset_id = api.version(b"user,item\n1,2\n").partition("@")[0]
    empty = api.dataset(name="empty")["id"]
    listed = {item["id"]: item for item in api.get("/v1/datasets").json()["items"]}
    ready = listed[dataset_id]
    assert (ready["state"], ready["rows"], ready["units"], ready["size"]) == ("ready", 1000, "users", 14)
    assert (listed[empty]["state"], listed[empty]["rows"], listed[empty]["size"]) == ("open", None, 0)
    assert api.get(f"/v1/datasets/{dataset_id}").json() == ready


def test_datasets_when_filtered_then_only_those_that_fit(api: Api) -> None:
    ready = api.version().partition("@")[0]
    graph = api.dataset(name="A 100%_graph", kind="graph")["id"]
    assert ids(api, "/v1/datasets", state="ready") == [ready]
    assert ids(api, "/v1/datasets", state="open") == [graph]
    assert ids(api, "/v1/datasets", kind="graph") == [graph]
    assert ids(api, "/v1/datasets", name="100%_GRAPH") == [graph]
    assert ids(api, "/v1/datasets", name="%") == [graph], "it is text, not a pattern"
    made = api.get(f"/v1/datasets/{ready}").json()["created_at"]
    assert ids(api, "/v1/datasets", created_after=made) == [graph]
    assert ids(api, "/v1/datasets", created_after="2020-01-05T09:30:00+02:00") == [graph, ready]


def test_datasets_when_exported_from_summaries_then_listed_only_when_asked_for(api: Api) -> None:
    export = exporting(api)["dataset"].partition("@")[0]
    assert export not in ids(api, "/v1/datasets")
    assert export in ids(api, "/v1/datasets", exports="true")
    assert api.get(f"/v1/datasets/{export}").json()["size"] == 8


@pytest.mark.parametrize(
    ("path", "wrong", "hint"),
    [
        ("/v1/datasets", "nmae", "Did you mean name?"),
        ("/v1/jobs", "datasett", "Did you mean dataset?"),
        ("/v1/summaries/sum_x/files/data/rows.npz", "version", "Taken here: none."),
        ("/readyz", "verbose", "Taken here: none."),
    ],
)
def test_query_when_a_parameter_is_unknown_then_refused_by_its_name(api: Api, path: str, wrong: str, hint: str) -> None:
    answer = api.get(path, params={wrong: "x"})
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["errors"][0]["pointer"]) == (400, "unknown_parameter", wrong)
    assert problem["hint"].startswith(hint)
    assert api.request("HEAD", path, params={wrong: "x"}).status_code in (400, 405)


@pytest.mark.parametrize("time", ["1700000000", "-5", "yesterday", "2026-01-05", "2026-01-05T09:30:00"])
def test_list_when_the_time_is_none_then_the_parameter_is_named(api: Api, time: str) -> None:
    for path in ("/v1/datasets", "/v1/jobs", "/v1/summaries", "/v1/reports"):
        answer = api.get(path, params={"created_after": time})
        assert answer.status_code == 422, (path, answer.text)
        assert answer.json()["errors"][0]["pointer"] == "created_after"


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_list_when_the_time_is_at_the_end_of_the_calendar_then_answers(api: Api, time: str) -> None:
    assert api.get("/v1/summaries", params={"created_after": time}).status_code == 200


def test_summaries_and_reports_when_listed_then_newest_first_and_filtered(api: Api) -> None:
    first, second = api.summary(), api.summary()
    for path, name in (("/v1/summaries", "summary"), ("/v1/reports", "report")):
        assert ids(api, path) == [second[name], first[name]]
        page = api.get(path, params={"page_size": 1}).json()
        assert ids(api, path, page_size=1, page_token=page["next_page_token"]) == [first[name]]
        newest = page["items"][0]
        source = newest["source" if name == "summary" else "dataset"]
        assert ids(api, path, job=newest["job"]) == [second[name]]
        assert ids(api, path, dataset=source) == [second[name]]
        assert ids(api, path, dataset=source.partition("@")[0]) == [second[name]]
        assert ids(api, path, dataset=source.partition("@")[0] + "@2") == []
        assert ids(api, path, kind="graph") == []
        assert ids(api, path, kind="interactions", created_after=newest["created_at"]) == []
    assert newest["verdict"] == {"text": "keeps"}


def test_summary_when_listed_then_says_what_its_own_document_says(api: Api) -> None:
    made = api.summary()["summary"]
    [item] = api.get("/v1/summaries").json()["items"]
    whole = api.get(f"/v1/summaries/{made}").json()
    assert {name: whole[name] for name in item} == item
    assert item["size"] == sum(file["size"] for file in whole["files"]) > 0
    api.delete(f"/v1/summaries/{made}")
    assert ids(api, "/v1/summaries") == []


def test_job_when_deleted_then_is_gone_and_what_it_made_stays(api: Api) -> None:
    made = api.summary()
    job = api.get(f"/v1/summaries/{made['summary']}").json()["job"]
    assert api.delete(f"/v1/jobs/{job}").status_code == 204
    assert job not in ids(api, "/v1/jobs")
    for verb, path in (("GET", ""), ("DELETE", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry")):
        assert api.request(verb, f"/v1/jobs/{job}{path}").status_code == 404, path
    assert api.get(f"/v1/events?jobs={job}").status_code == 404
    assert api.get(f"/v1/summaries/{made['summary']}/files/manifest.json").status_code == 200
    assert api.get(f"/v1/reports/{made['report']}").status_code == 200
    assert ids(api, "/v1/reports", job=job) == [made["report"]]


def test_job_when_it_has_not_ended_then_is_not_deleted(api: Api) -> None:
    job = api.job()["id"]
    answer = api.delete(f"/v1/jobs/{job}")
    assert (answer.status_code, answer.json()["code"]) == (409, "job_not_finished")
    assert api.state_of(job) == "queued"
    api.post(f"/v1/jobs/{job}/cancel")
    assert api.delete(f"/v1/jobs/{job}").status_code == 204


def test_job_when_deleted_then_answers_no_later_request(api: Api) -> None:
    reference = api.version()
    done = api.job(reference)
    api.finish(done["id"], Outcome(report=api.stored({"report.json": b"{}"})))
    assert api.job(reference)["cached_from"] == done["id"]
    for job in ids(api, "/v1/jobs", task="select"):
        assert api.delete(f"/v1/jobs/{job}").status_code == 204
    again = api.job(reference)
    assert (again["cached_from"], again["state"]) == (None, "queued")


def test_page_when_its_items_are_long_then_has_fewer_and_the_next_goes_on(api: Api) -> None:
    reference, long = api.version(), {"split": "x" * 60_000}
    made = [api.job(reference, params=long, seed=seed)["id"] for seed in range(90)]
    seen: list[str] = []
    token = ""
    while token or not seen:
        page = api.get("/v1/jobs", params={"page_size": 1000, "page_token": token, "task": "select"})
        assert len(page.content) < 5_000_000
        seen += [item["id"] for item in page.json()["items"]]
        token = page.json()["next_page_token"]
    assert seen == made[::-1]


def test_events_when_they_are_long_then_a_page_has_fewer(api: Api) -> None:
    made = api.job()["id"]
    api.log(made, *("x" * 100_000 for _ in range(60)))
    page = api.get(f"/v1/jobs/{made}/events?limit=1000")
    assert len(page.content) < 5_000_000
    numbers = [item["seq"] for item in page.json()["items"]]
    more = api.get(f"/v1/jobs/{made}/events?after={numbers[-1]}").json()["items"]
    assert numbers + [item["seq"] for item in more] == list(range(1, 62))


@pytest.mark.parametrize("name", ["options", "columns"])
def test_dataset_when_its_options_are_long_then_refused(api: Api, name: str) -> None:
    for verb, path in (("POST", "/v1/datasets"), ("PATCH", f"/v1/datasets/{api.dataset()['id']}")):
        body = {"name": "x", name: {"split": "é" * 8_000}} | ({"kind": "interactions"} if verb == "POST" else {})
        refused = api.request(verb, path, json=body, headers={"If-Match": "*"})
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"/{name}")
        assert "16000 bytes" in refused.text


@pytest.mark.parametrize("name", ["params", "evaluate"])
def test_job_when_its_parameters_are_long_then_refused(api: Api, name: str) -> None:
    refused = api.post("/v1/jobs", json={"dataset": "ds_x@1", name: {"split": "x" * 70_000}})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"/{name}")


def test_metrics_when_methods_are_made_up_then_one_label_stands_for_all(api: Api) -> None:
    for number in range(20):
        api.request(f"BREW{number}", "/v1/me")
    shown = api.get("/metrics").text
    assert "BREW" not in shown
    assert 'method="other"' in shown
