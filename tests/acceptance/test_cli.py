"""The command line against a real service."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tests.acceptance.conftest import Installation

RUN = ["-p", "budget=20", "--evaluate", 'learners=["popularity", "ease"]', "--evaluate", "bootstrap=100"]


@pytest.fixture(scope="module")
def job(installation: Installation, dataset: str) -> dict[str, object]:
    return installation.json("run", "random-users", dataset, *RUN)


def test_status_when_running_then_has_url_home_and_state(installation: Installation) -> None:
    status = installation.json("status")
    assert status["state"] == "ready"
    assert status["home"] == str(installation.home)
    assert status["url"].startswith("http://127.0.0.1:")


def test_up_when_running_already_then_names_the_running_one(installation: Installation) -> None:
    again = installation.json("up", "--detach")
    status = installation.json("status")
    assert (again["url"], again["pid"]) == (status["url"], status["pid"])
    assert again["api_key"].startswith("dsk_")


def test_doctor_when_running_then_finds_nothing_wrong(installation: Installation) -> None:
    found = json.loads(installation.run("doctor", "--json", ok=False).stdout)
    wrong = [check for check in found["checks"] if not check["ok"] and check["name"] not in ("disk", "memory")]
    assert wrong == []


def test_datasets_when_added_then_are_listed_shown_and_removed(installation: Installation, clicks: Path) -> None:
    words = ["--kind", "interactions", "--column", "user=uid", "--column", "item=what", "--name", "spare"]
    added = installation.json("datasets", "add", str(clicks), *words, "-o", "min_user_events=2")
    assert added["options"] == {"min_user_events": 2}
    assert added["id"] in [item["id"] for item in installation.json("datasets", "ls")["items"]]
    assert "spare" in installation.run("datasets", "show", added["id"]).stdout
    installation.run("datasets", "rm", added["id"])
    gone = installation.run("datasets", "show", added["id"], ok=False)
    assert gone.returncode == 1
    assert gone.stderr.startswith("Error: ")


def test_datasets_add_when_column_is_unknown_then_says_which_there_are(
    installation: Installation, clicks: Path
) -> None:
    words = ["--kind", "interactions", "--column", "user=nobody", "--column", "item=what"]
    done = installation.run("datasets", "add", str(clicks), *words, "--json", ok=False)
    assert done.returncode == 1
    assert json.loads(done.stdout)["code"] == "unknown_column"
    assert "uid" in done.stderr


def test_methods_when_listed_then_has_those_of_interactions(installation: Installation) -> None:
    names = {item["name"] for item in installation.json("methods", "--kind", "interactions")["items"]}
    assert {"auto", "distill-cf", "head-users", "random-users", "random-interactions"} <= names


def test_run_when_done_then_summary_and_report_can_be_fetched(
    installation: Installation, job: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    assert job["state"] == "succeeded"
    result = job["result"]
    folder = Path(installation.run("get", result["summary"], "-o", str(tmp_path / "out")).stdout.strip())
    assert (folder / "load.py").is_file()
    zipped = Path(installation.run("get", result["summary"], "-o", str(tmp_path), "--zip").stdout.strip())
    assert set(zipfile.ZipFile(zipped).namelist()) >= {"load.py", "report.json"}
    report = installation.json("report", result["report"])
    assert {"verdict", "tables", "plots", "warnings", "cost", "reproduce"} <= set(report)
    page = tmp_path / "r.html"
    shown = installation.run("report", result["report"], "--html", str(page)).stdout
    assert report["verdict"]["sentence"] in shown
    assert "<html" in page.read_text(encoding="utf-8")


def test_run_when_done_before_then_is_answered_from_cache(
    installation: Installation, dataset: str, job: dict[str, object]
) -> None:
    again = installation.json("run", "random-users", dataset, *RUN)
    assert again["cached_from"] == job["id"]
    assert again["result"] == job["result"]


def test_run_when_parameter_is_unknown_then_exits_1_with_the_field(installation: Installation, dataset: str) -> None:
    done = installation.run("run", "random-users", dataset, "-p", "bugdet=20", ok=False)
    assert done.returncode == 1
    assert "bugdet" in done.stderr
    assert done.stdout == ""


def test_jobs_when_cancelled_then_are_cancelled_and_can_be_retried(installation: Installation, dataset: str) -> None:
    words = ["-p", "budget=20", "-p", "steps=5000", "-p", "patience=5000", "--no-wait", "--json"]
    started = json.loads(installation.run("run", "distill-cf", dataset, *words).stdout)
    installation.run("jobs", "cancel", started["id"])
    watched = installation.run("jobs", "watch", started["id"], ok=False)
    assert watched.returncode == 1
    assert "cancelled" in watched.stderr
    assert installation.json("jobs", "show", started["id"])["state"] == "cancelled"
    again = installation.json("jobs", "retry", started["id"])
    assert again["retry_of"] == started["id"]
    installation.run("jobs", "cancel", again["id"])
    states = {item["id"]: item["state"] for item in installation.json("jobs", "ls", "--task", "distil")["items"]}
    assert states[started["id"]] == "cancelled"


def test_keys_when_revoked_then_open_nothing_any_more(installation: Installation) -> None:
    made = installation.json("keys", "create", "reader", "--scope", "jobs:read")
    url = installation.json("status")["url"]
    other = {"DISTILLERY_URL": url, "DISTILLERY_API_KEY": made["token"]}
    assert installation.run("jobs", "ls", **other).returncode == 0
    assert "scope" in installation.run("datasets", "ls", ok=False, **other).stderr.lower()
    installation.run("keys", "revoke", made["id"])
    assert installation.run("jobs", "ls", ok=False, **other).returncode == 1
    listed = {item["id"]: item for item in installation.json("keys", "ls")["items"]}
    assert listed[made["id"]]["revoked_at"]
