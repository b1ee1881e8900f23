"""A kind of data from a plug-in: in catalogue, API and report like our own, and judged as safely."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from distillery import Client
from tests.faults.conftest import attempts
from tests.faults.injections import busy_child, kill
from tests.planted_points import points_csv
from tests.plugins import python_path
from tests.service import Service

COLUMNS = {"x": "lon", "y": "lat", "label": "species"}
DRAWS = 3
SETS = 2 + DRAWS  # the full data, the summary, and every draw of random points
ENDED = ("succeeded", "failed", "cancelled")


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", python_path("points", "notes"))
        running = Service(threads=1, devices="cpu", checkpoint_every_s=0, retry_pause_s=0.2)
    with running:
        yield running


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[Client]:
    with service.client as connected:
        yield connected


@pytest.fixture(scope="module")
def http(service: Service) -> Iterator[httpx.Client]:
    with service.http as connected:
        yield connected


@pytest.fixture(scope="module")
def points(client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The reference of 400 uploaded points."""
    file = points_csv(tmp_path_factory.mktemp("points") / "flowers.csv")
    return client.datasets.upload(str(file), kind="points", columns=COLUMNS).reference


@pytest.fixture(scope="module")
def first(client: Client, points: str) -> Any:
    """The first job on them."""
    return client.run("every-nth", points, budget=24).wait(timeout=60)


def trainings(events: list[dict[str, Any]]) -> list[str]:
    """What the toy learner says in the job's log at the beginning of each training."""
    return [event["data"]["text"] for event in events if event["type"] == "log"]


def wait_for_trainings(http: httpx.Client, job_id: str, count: int) -> None:
    """Until that many have begun."""
    Service.wait(lambda: len(trainings(events(http, job_id))) >= count, 60, f"{count} trainings to begin")


def events(http: httpx.Client, job_id: str) -> list[dict[str, Any]]:
    return http.get(f"/v1/jobs/{job_id}/events", params={"limit": 1000}).raise_for_status().json()["items"]


def start(http: httpx.Client, points: str, seed: int, pause_s: float, **more: Any) -> str:
    """The id of a job whose trainings wait so long; a seed of its own, so that nothing is known already."""
    evaluate = {"learners": ["nearest-mean"], "pause_s": pause_s, "draws": DRAWS, "bootstrap": 100}
    body = {"method": "every-nth", "dataset": points, "seed": seed, "evaluate": evaluate, **more}
    return http.post("/v1/jobs", json=body).raise_for_status().json()["id"]


def finished(http: httpx.Client, job_id: str) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        job = http.get(f"/v1/jobs/{job_id}").raise_for_status().json()
        return job if job["state"] in ENDED else None

    job = Service.wait(ended, 60, f"{job_id} to end")
    assert job["state"] == "succeeded", job["error"]
    return job


def test_catalogue_when_a_plug_in_brings_a_kind_then_lists_its_methods_ingest_and_learners(http: httpx.Client):
    rows = {item["name"]: item for item in http.get("/v1/methods?kind=points").json()["items"]}
    assert rows.keys() == {"compare", "every-nth", "evaluate"}
    assert rows["compare"]["evaluate_schema"] == {}
    assert rows["every-nth"]["params_schema"]["x-about"].startswith("Keep every n-th point: a pick that costs nothing")
    assert rows["every-nth"]["evaluate_schema"]["properties"]["learners"]["items"]["enum"] == [
        "majority",
        "nearest-mean",
    ]
    assert rows["every-nth"]["cost"]["units"] == "points"
    ingest = http.get("/v1/methods/points/ingest").raise_for_status().json()
    assert "x, y, label" in ingest["params_schema"]["properties"]["columns"]["description"]


def test_version_when_uploaded_then_has_the_kinds_statistics_and_preview(client: Client, points: str):
    dataset = client.datasets.get(points)
    assert dataset.statistics()["statistics"] == {
        "points": 400,
        "labels": 3,
        "train": 240,
        "validation": 80,
        "test": 80,
    }
    assert set(dataset.preview(3)["rows"][0]) == {"x", "y", "label"}


def test_report_when_judged_then_names_the_kinds_own_units(first: Any):
    verdict = first.report.json()["verdict"]
    assert "of full-data accuracy (nearest mean) with 10.0\u202f% of the points" in verdict["sentence"]
    assert "24 random points" in verdict["sentence"]
    assert "users" not in first.report.markdown()


def test_summaries_when_compared_then_by_the_scores_of_their_reports(client: Client, points: str, first: Any):
    second = client.run("every-nth", points, budget=48).wait(timeout=60)
    made = [one.view["result"]["summary"] for one in (first, second)]
    job = client.run("compare", points, inputs={"summaries": made}).wait(timeout=60)
    report = job.report.json()
    [table] = [one for one in report["tables"] if one["name"] == "differences"]
    assert {row["learner"] for row in table["rows"]} == {"nearest mean", "majority"}
    assert all(row["n"] == 80 for row in table["rows"])
    kept = [one["verdict"]["value"] for one in report["summaries"]]
    assert kept == [one.report.json()["verdict"]["value"] for one in (first, second)], "as their own reports say"
    assert job.view["result"].get("summary") is None


def test_summary_when_made_then_is_read_by_its_loader_and_is_a_version(client: Client, first: Any, tmp_path: Path):
    first.summary.download(tmp_path)
    names: dict[str, Any] = {"__file__": str(tmp_path / "load.py")}
    exec((tmp_path / "load.py").read_text(), names)
    assert (names["at"].shape, set(names["label"])) == ((24, 2), {"a", "b", "c"})


def test_second_job_when_on_the_same_version_then_trains_nothing_on_the_full_data(
    client: Client, http: httpx.Client, points: str, first: Any
):
    second = client.run("every-nth", points, budget=24, start=1).wait(timeout=60)
    assert any("240 points" in text for text in trainings(events(http, first.id)))
    assert [text for text in trainings(events(http, second.id)) if "240 points" in text] == []
    [reused] = second.report.json()["reused_from"]
    assert reused["job"] == first.id
    assert "full" in reused["sets"]
    assert set(reused["learners"]) == {"nearest-mean", "majority"}


def test_evaluate_when_given_the_summary_then_says_the_same_of_it(client: Client, points: str, first: Any):
    again = client.run("evaluate", points, inputs={"summary": [first.result["summary"]]}).wait(timeout=60)
    said, before = (job.report.json()["verdict"] for job in (again, first))
    assert {name: said[name] for name in ("value", "low", "high", "status")} == {
        name: before[name] for name in ("value", "low", "high", "status")
    }


def test_judging_when_its_child_is_killed_then_goes_on_at_the_training_where_it_was(
    http: httpx.Client, service: Service, points: str
):
    job_id = start(http, points, seed=1, pause_s=0.5)
    wait_for_trainings(http, job_id, 3)
    kill(busy_child(service).pid)
    finished(http, job_id)
    before, after = (trainings(attempt) for attempt in attempts({"events": events(http, job_id)}))
    assert 3 <= len(before) < SETS, "it was not killed in the middle"
    assert after[0] == before[-1]
    assert len(before) + len(after) == SETS + 1, "a training that had been finished was done again"


def test_judging_when_its_time_is_over_then_says_what_was_measured_and_the_summary_is_delivered(
    http: httpx.Client, points: str
):
    job_id = start(http, points, seed=2, pause_s=3.0, limits={"evaluate_s": 10})
    job = finished(http, job_id)
    report = http.get(f"/v1/reports/{job['result']['report']}").raise_for_status().json()
    every = 2 * SETS  # the learner that was named, and the floor
    said = re.fullmatch(rf"judging ended with its time limit after (\d+) of {every} trainings", report["unfinished"])
    assert said is not None
    assert len(trainings(events(http, job_id))) - 1 <= int(said[1]) < every
    assert "of full-data accuracy" in report["verdict"]["sentence"]
    assert http.get(f"/v1/summaries/{job['result']['summary']}").json()["files"]


def test_method_for_any_device_when_no_worker_has_a_gpu_then_runs_on_the_cpu(client: Client, tmp_path: Path):
    (tmp_path / "note.txt").write_text("a")
    notes = client.datasets.upload(str(tmp_path / "note.txt"), kind="notes").reference
    job = client.run("look", notes).wait(timeout=60)
    [said] = [json.loads(event["data"]["text"]) for event in job.events() if event["type"] == "log"]
    assert (job.view["queue"], job.view["state"], said["device"]) == ("cpu", "succeeded", "cpu")
    assert job.view["cost"]["gpu_s"] == 0.0
