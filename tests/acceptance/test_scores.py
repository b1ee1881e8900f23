"""A score table against a real service: upload, comparison, the report of it, and the refusals a user meets."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from distillery import Client, errors
from tests.kinds.scores.planted import answers, rows, write_csv


def test_planted_table_when_compared_then_its_report_says_which_benchmarks_can_be_trusted(
    client: Client, tmp_path: Path
):
    table = rows(runs=12, each=1)
    write_csv(tmp_path / "scores.csv", table)
    write_csv(tmp_path / "answers.csv", answers(table, 20))
    version = client.datasets.upload([tmp_path / "scores.csv", tmp_path / "answers.csv"], kind="scores")
    job = client.run("transfer-correlation", version.reference, scatters=1, example_resamples=100).wait()
    report = job.report.json()
    words = {one["benchmark"]: one["word"] for one in report["verdict"]["benchmarks"]}
    assert words == {"follows-0": "reliable", "noise-0": "undetermined", "reverses-0": "unreliable"}
    assert report["verdict"]["status"] == "partly_reliable"
    assert {one["name"] for one in report["tables"]} >= {"verdicts", "decisions", "suites", "calibration-all"}
    assert "reliable" in job.report.html()


def test_harness_results_when_three_stages_are_there_then_a_pair_is_asked_for_and_compared(
    client: Client, tmp_path: Path
):
    with zipfile.ZipFile(tmp_path / "results.zip", "w") as archive:
        for stage, step in (("pt", 0.0), ("sft", 0.1), ("rl", 0.2)):
            for run in range(5):
                found = {"results": {"arc": {"acc,none": 0.3 + run * 0.05 + step, "acc_stderr,none": 0.01}}}
                archive.writestr(f"m{run}/{stage}/results.json", json.dumps(found))
    version = client.datasets.upload(tmp_path / "results.zip", kind="scores")
    with pytest.raises(errors.DistilleryError) as refused:
        client.run("transfer-correlation", version.reference).wait()
    assert "stage_pair" in f"{refused.value.hint}"
    job = client.run("transfer-correlation", version.reference, stage_pair=["pt", "sft"], scatters=0).wait()
    (one,) = job.report.json()["verdict"]["benchmarks"]
    assert (one["runs"], one["pearson"]) == (5, pytest.approx(1))
    assert one["word"] == "undetermined"  # of five runs


def test_table_with_a_score_twice_when_uploaded_then_is_refused_with_the_cure(client: Client, tmp_path: Path):
    table = rows(runs=4, each=1)
    write_csv(tmp_path / "scores.csv", [*table, table[0]])
    with pytest.raises(errors.DistilleryError) as refused:
        client.datasets.upload(tmp_path / "scores.csv", kind="scores")
    assert "twice" in str(refused.value)
