from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.http_server import Answer, Asked, document, problem, serving

JOB: dict[str, Any] = {
    "id": "job_1",
    "state": "succeeded",
    "method": "distill-cf",
    "dataset": "ds_1@1",
    "created_at": "2030-01-01T00:00:00Z",
    "cached_from": "job_0",
    "result": {"summary": "sum_1", "report": "rep_1"},
    "error": None,
}
DATASET = {
    "id": "ds_1",
    "name": "clicks",
    "kind": "interactions",
    "state": "ready",
    "latest_version": 1,
    "rows": 32711,
    "units": "users",
    "size": 1_234_567,
}
VERSION = {
    "reference": "ds_1@1",
    "state": "ready",
    "detection": {"format": "csv", "columns": {"user": "uid"}},
    "statistics": {"users": 32711},
    "warnings": ["3 rows have no item."],
    "error": None,
}
SUMMARY = {
    "id": "sum_1",
    "method": "distill-cf",
    "source": "ds_1@1",
    "size": 2048,
    "created_at": "2030-01-01T00:00:00Z",
    "files": [{"path": "rows.csv", "size": 2, "sha256": hashlib.sha256(b"1\n").hexdigest()}],
}
REPORT = {
    "verdict": {"sentence": "Keeps 96.4 % of full-data nDCG@10 with 0.8 % of the rows."},
    "tables": [
        {
            "name": "fidelity",
            "caption": "nDCG@10 by what it was trained on",
            "note": "",
            "columns": [
                {"key": "learner", "label": "Learner", "kind": "text", "unit": "", "interval": []},
                {"key": "m", "label": "nDCG@10", "kind": "number", "unit": "points", "interval": ["lo", "hi"]},
                {"key": "lo", "label": "low", "kind": "number", "unit": "points", "interval": []},
                {"key": "hi", "label": "high", "kind": "number", "unit": "points", "interval": []},
            ],
            "rows": [{"learner": "EASE", "m": 33.44, "lo": 33.0, "hi": 34.0}, {"learner": "∞-AE", "m": None}],
        }
    ],
    "plots": [],
    "warnings": ["Rows are short."],
    "cost": {},
    "reproduce": {},
}
EVENT = {"seq": 1, "at": "t", "type": "succeeded", "data": {}}
STREAM = f"id: 1\nevent: succeeded\ndata: {json.dumps(EVENT)}\n\n".encode()


def service(asked: Asked) -> Answer:
    """A service on which everything has been done already."""
    path = asked.path.removeprefix("/v1/").partition("?")[0]
    known: dict[str, Any] = {
        "datasets": {"items": [DATASET], "next_page_token": ""},
        "datasets/ds_1": DATASET,
        "datasets/ds_1/versions": {"items": [VERSION], "next_page_token": ""},
        "summaries": {"items": [SUMMARY], "next_page_token": ""},
        "summaries/sum_1": SUMMARY,
        "reports": {"items": [REPORT | SUMMARY | {"id": "rep_1"}], "next_page_token": ""},
        "datasets/ds_1/commit": {"job": {"id": "job_1"}, "reference": "ds_1@1"},
        "jobs/job_1": JOB,
        "reports/rep_1": REPORT,
        "methods": {"items": [], "next_page_token": ""},
    }
    if path == "jobs":
        return document(JOB, 202) if asked.method == "POST" else document({"items": [JOB], "next_page_token": ""})
    if path == "datasets" and asked.method == "POST":
        return document(DATASET, 201)
    if path.endswith("/events"):
        return Answer(200, STREAM, {"Content-Type": "text/event-stream"})
    if path.endswith(("/retry", "/cancel")):
        return document(JOB | {"id": "job_2"}, 202)
    if path.endswith("/files/rows.csv"):
        return Answer(200, b"1\n", {})
    if asked.method == "DELETE":
        return Answer(204, b"", {})
    if asked.method == "PUT":
        return document({}, 201)
    return document(known[path], ETag='"x"') if path in known else problem(404, "not_found", "There is no such thing.")


def test_run_when_values_look_like_json_then_are_sent_as_json(run: Run) -> None:
    words = ["-p", "budget=500", "-p", "lr=0.1", "-p", "name=1%", "-p", "ks=[1, 2]", "-p", "on=true", "--seed", "7"]
    more = ["--input", "summary=sum_9", "--evaluate", "max_users=4000", "--limit", "time_s=60", "--label", "a=b=c"]
    with serving(service) as server:
        result = run("run", "distill-cf", "ds_1@1", *words, *more, "--force", "--no-wait", url=server.url)
    assert result.stdout == "job_1\n"
    assert server.asked[0].json == {
        "method": "distill-cf",
        "dataset": "ds_1@1",
        "params": {"budget": 500, "lr": 0.1, "name": "1%", "ks": [1, 2], "on": True},
        "inputs": {"summary": "sum_9"},
        "evaluate": {"max_users": 4000},
        "limits": {"time_s": 60},
        "labels": {"a": "b=c"},
        "seed": 7,
        "force": True,
    }


def test_run_when_an_input_is_repeated_then_all_are_sent_in_order(run: Run) -> None:
    words = ["--input", "summaries=sum_2", "summaries=ds_4@1", "--input", "policy=sum_9", "--input", "summaries=sum_1"]
    with serving(service) as server:
        run("run", "compare", "ds_1@1", *words, "--no-wait", url=server.url)
    assert server.asked[0].json["inputs"] == {"summaries": ["sum_2", "ds_4@1", "sum_1"], "policy": "sum_9"}


def test_run_when_waited_for_then_shows_results_and_verdict(run: Run) -> None:
    with serving(service) as server:
        result = run("run", "distill-cf", "ds_1@1", url=server.url)
    assert result.exit_code == 0
    for expected in ("sum_1", "rep_1", "job_0", "Keeps 96.4 %"):
        assert expected in result.stdout
    assert "distill-cf: succeeded" in result.stderr


def test_run_when_word_is_no_pair_then_exits_1_with_a_sentence(run: Run) -> None:
    result = run("run", "m", "ds_1", "-p", "budget", url="http://127.0.0.1:1")
    assert result.exit_code == 1
    assert result.stderr == "Error: -p takes NAME=VALUE, not 'budget'.\n"


@pytest.mark.parametrize(
    "words",
    [
        ["datasets", "ls"],
        ["datasets", "show", "ds_1"],
        ["methods"],
        ["run", "m", "ds_1@1"],
        ["run", "m", "ds_1@1", "--no-wait"],
        ["jobs", "ls"],
        ["jobs", "show", "job_1"],
        ["jobs", "watch", "job_1"],
        ["jobs", "cancel", "job_1"],
        ["jobs", "retry", "job_1"],
        ["jobs", "rm", "job_1"],
        ["summaries"],
        ["reports"],
        ["report", "rep_1"],
        ["status"],
        ["down"],
    ],
)
def test_command_when_json_is_asked_for_then_prints_one_document(run: Run, words: list[str]) -> None:
    with serving(service) as server:
        result = run(*words, "--json", url=server.url)
    assert result.exit_code == 0, result.stderr
    assert isinstance(json.loads(result.stdout), dict)


def test_document_when_json_is_asked_for_then_is_the_apis_own(run: Run) -> None:
    with serving(service) as server:
        assert json.loads(run("jobs", "show", "job_1", "--json", url=server.url).stdout) == JOB
        assert json.loads(run("report", "rep_1", "--json", url=server.url).stdout) == REPORT
        listed = json.loads(run("jobs", "ls", "--json", url=server.url).stdout)
    assert listed == {"items": [JOB], "next_page_token": ""}


def test_failure_when_service_refuses_then_sentence_and_hint_on_stderr(run: Run) -> None:
    def refusing(_: Asked) -> Answer:
        return problem(422, "kind_mismatch", "distill-cf needs interactions.", "These fit: k-means.")

    with serving(refusing) as server:
        plain = run("run", "distill-cf", "ds_1", url=server.url)
        as_json = run("run", "distill-cf", "ds_1", "--json", url=server.url)
    assert plain.exit_code == as_json.exit_code == 1
    assert plain.stdout == ""
    assert plain.stderr == "Error: distill-cf needs interactions.\nHint: These fit: k-means.\n"
    assert json.loads(as_json.stdout)["code"] == "kind_mismatch"


def test_failure_when_job_fails_then_says_why(run: Run) -> None:
    why = {"code": "out_of_memory", "detail": "It needed 9 GB.", "hint": "Raise limits.memory_mb."}
    failed = JOB | {"state": "failed", "error": why, "result": None}

    def failing(asked: Asked) -> Answer:
        if asked.path.endswith("/events"):
            event = EVENT | {"type": "failed"}
            body = f"id: 1\nevent: failed\ndata: {json.dumps(event)}\n\n".encode()
            return Answer(200, body, {"Content-Type": "text/event-stream"})
        return document(failed)

    with serving(failing) as server:
        result = run("jobs", "watch", "job_1", "--json", url=server.url)
    assert result.exit_code == 1
    assert result.stderr.endswith("Error: It needed 9 GB.\nHint: Raise limits.memory_mb.\n")
    assert json.loads(result.stdout)["code"] == "out_of_memory"


def test_failure_when_nothing_runs_then_says_how_to_start(run: Run) -> None:
    result = run("jobs", "ls")
    assert result.exit_code == 1
    assert "distillery up" in result.stderr


STEERING = "a\x1b]0;b\x07c\x9b2Jd\x7fe\u202ef\rg"


def steering(value: Any) -> Any:
    """A document with every text that people wrote replaced by one that would steer a terminal."""
    match value:
        case dict():
            kept = ("id", "state", "reference", "dataset", "next_page_token", "created_at", "type", "path", "sha256")
            return {name: one if name in kept else steering(one) for name, one in value.items()}
        case list():
            return [steering(one) for one in value]
        case str():
            return STEERING
        case _:
            return value


@pytest.mark.parametrize(
    "words",
    [
        ["datasets", "ls"],
        ["datasets", "show", "ds_1"],
        ["datasets", "rm", "ds_1"],
        ["jobs", "ls"],
        ["jobs", "show", "job_1"],
        ["jobs", "watch", "job_1"],
        ["summaries"],
        ["reports"],
        ["run", "distill-cf", "ds_1"],
        ["datasets", "show", "ds_none"],
    ],
    ids=" ".join,
)
def test_command_when_texts_hold_control_characters_then_none_reaches_the_terminal(run: Run, words: list[str]) -> None:
    def hostile(asked: Asked) -> Answer:
        answer = service(asked)
        if not answer.body.startswith(b"{"):
            return answer
        changed = steering(json.loads(answer.body)) | ({"code": "x"} if answer.status >= 400 else {})
        return Answer(answer.status, json.dumps(changed).encode(), answer.headers)

    with serving(hostile) as server:
        shown, as_json = run(*words, url=server.url), run(*words, "--json", url=server.url)
    for text in (shown.stdout, shown.stderr, as_json.stdout, as_json.stderr):
        assert not set(text) & set("\x1b\x07\x9b\x7f\u202e\r"), text
    assert "\\x1b]0;b" in shown.stdout + shown.stderr
    assert "\\u001b]0;b\\u0007c\\u009b2Jd\\u007fe\\u202ef\\rg" in as_json.stdout, "as JSON it is the same text"


def test_datasets_ls_when_shown_then_has_state_rows_and_size(run: Run) -> None:
    with serving(service) as server:
        result = run("datasets", "ls", "--state", "ready", "--name", "cli", "--kind", "interactions", url=server.url)
        run("datasets", "ls", "--exports", "--created-after", "2026-01-05T09:30:00Z", url=server.url)
    shown = re.split(" {2,}", result.stdout.splitlines()[1])
    assert shown == ["ds_1@1", "ready", "interactions", "32,711 users", "1.23 MB", "clicks"]
    assert [sorted(asked.path.partition("?")[2].split("&")) for asked in server.asked] == [
        ["kind=interactions", "name=cli", "state=ready"],
        ["created_after=2026-01-05T09%3A30%3A00Z", "exports=true"],
    ]


def test_datasets_show_when_shown_then_the_document_has_all_that_the_text_has(run: Run) -> None:
    with serving(service) as server:
        text = run("datasets", "show", "ds_1", url=server.url).stdout
        shown = json.loads(run("datasets", "show", "ds_1", "--json", url=server.url).stdout)
    for line in (
        "    format: csv",
        '    columns: {"user": "uid"}',
        "    users: 32711",
        "  warning: 3 rows have no item.",
    ):
        assert line in text.splitlines()
    assert shown == DATASET | {"versions": [VERSION]}


def test_summaries_and_reports_when_listed_then_say_what_they_are(run: Run) -> None:
    with serving(service) as server:
        summaries = run("summaries", url=server.url).stdout
        reports = run("reports", "--dataset", "ds_1", url=server.url).stdout
    assert re.search(r"sum_1 +distill-cf +ds_1@1 +2\.05 kB +2030-01-01 00:00", summaries)
    assert "Keeps 96.4 %" in reports
    assert server.asked[1].path == "/v1/reports?dataset=ds_1"


def test_get_when_no_folder_is_named_then_writes_into_one_named_after_the_summary(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with serving(service) as server:
        assert run("get", "sum_1", url=server.url).stdout == "sum_1\n"
        run("get", "sum_1", "--out", "elsewhere", url=server.url)
    assert (tmp_path / "sum_1" / "rows.csv").read_bytes() == b"1\n"
    assert (tmp_path / "elsewhere" / "rows.csv").read_bytes() == b"1\n"


def test_version_when_asked_for_then_is_printed_alone(run: Run) -> None:
    assert re.fullmatch(r"distillery \d+\.\d+\.\d+\n", run("--version").stdout)


@pytest.mark.parametrize("count", [1, 5000])  # less and more than a pipe holds
def test_command_when_nobody_reads_on_then_ends_without_a_word(count: int) -> None:
    def many(_: Asked) -> Answer:
        return document({"items": [JOB] * count, "next_page_token": ""})

    with serving(many) as server:
        environment = {**os.environ, "DISTILLERY_URL": server.url, "DISTILLERY_API_KEY": "dsk_a_b"}
        command = [sys.executable, "-m", "distillery", "jobs", "ls"]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == ""


def test_datasets_add_when_done_then_prints_the_reference_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "clicks.csv").write_text("uid,item\n1,2\n")
    words = ["--kind", "interactions", "--column", "user=uid", "-o", "split=clean", "-o", "min_user_events=3"]
    with serving(service) as server:
        result = run("datasets", "add", str(tmp_path / "clicks.csv"), *words, url=server.url)
    assert result.stdout == "ds_1@1\n"
    sent = server.asked[0].json
    assert sent["columns"] == {"user": "uid"}
    assert sent["options"] == {"split": "clean", "min_user_events": 3}


def test_datasets_add_when_file_is_missing_then_exits_1(run: Run, tmp_path: Path) -> None:
    result = run("datasets", "add", str(tmp_path / "no.csv"), "--kind", "interactions", url="http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "no file or folder" in result.stderr


def test_report_when_shown_then_intervals_stand_behind_their_values(run: Run, tmp_path: Path) -> None:
    with serving(service) as server:
        result = run("report", "rep_1", url=server.url)
    lines = result.stdout.splitlines()
    assert lines[0].startswith("Keeps 96.4 %")
    assert re.search(r"EASE +33\.4 \[33\.0, 34\.0\]", result.stdout)
    assert re.search(r"∞-AE +–", result.stdout)
    assert "Warning: Rows are short." in lines


def test_status_when_nothing_runs_then_has_url_home_and_state(run: Run, tmp_path: Path) -> None:
    document = json.loads(run("status", "--json").stdout)
    assert document["state"] == "stopped"
    assert document["home"] == str(tmp_path / "home")
    assert document["url"] is None
    refused = run("status", "--env")
    assert (refused.exit_code, refused.stdout) == (1, "")


def test_help_when_asked_for_then_imports_nothing_slow() -> None:
    program = (
        "import sys; from distillery.cli.app import app; "
        "print(sorted({'httpx', 'rich.progress', 'numpy', 'app', 'worker'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_start_when_server_parts_are_missing_then_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from distillery.cli import embedded

    monkeypatch.setattr(embedded, "_PARTS", {"no_such_package": "server"})
    result = run("up", "--detach")
    assert result.exit_code == 1
    assert 'pip install ".[server,worker]"' in result.stderr
