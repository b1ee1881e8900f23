"""Logs of decisions against a real service: estimate, learn, estimate what was learnt, choose rounds, audit."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from distillery import Client, errors
from tests.acceptance.conftest import ROOT, Installation
from tests.planted_bandit import planted, planted_files
from tests.shared_data import shared


@pytest.fixture(scope="module")
def log(client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """3,000 planted rounds with logging policy, target policy, embeddings and a hierarchy; the reference."""
    folder = tmp_path_factory.mktemp("log")
    planted_files(folder, rounds=3000)
    return client.datasets.upload(folder, kind="bandit").reference


def test_estimate_when_the_target_is_better_then_says_so_with_an_interval_and_every_number(client: Client, log: str):
    job = client.estimate(log, ["target", "uniform"], round_values=True).wait()
    report = job.report.json()
    verdict = report["verdict"]
    target = next(one for one in verdict["targets"] if one["name"] == "target")
    made = planted(rounds=3000)
    truth = (made["target"] * made["q"]).sum(axis=1)[made["user"]].mean()
    assert verdict["status"] == "better"
    assert target["low"] <= truth <= target["high"]
    assert target["over_logging_low"] > 0
    assert {table["name"] for table in report["tables"]} >= {"estimates", "comparisons", "support", "weights", "path"}
    assert {"agreement", "path-target", "weights"} <= {plot["name"] for plot in report["plots"]}
    assert report["files"] == ["diagnostics.json", "estimates.json", "rounds.parquet"]
    estimates = json.loads(job.report.file("estimates.json"))
    assert estimates["targets"]["target"]["selected"]["path"]["policy_ess"]
    assert job.report.markdown().startswith("# ")


def test_policy_when_learnt_then_is_downloaded_predicts_and_can_be_estimated(client: Client, log: str, tmp_path: Path):
    job = client.run("policy-gradient", log, epochs=30).wait()
    assert job.report.json()["verdict"]["status"] == "better"
    folder = job.summary.download(tmp_path)
    code = "import numpy, predict; print(predict.predict(numpy.zeros((2, 4), 'f4')).sum(axis=1))"
    said = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["[1.", "1.]"]
    judged = client.estimate(log, policy=job.summary, targets=["learnt"]).wait()
    assert [one["name"] for one in judged.report.json()["verdict"]["targets"]] == ["learnt"]


def test_rounds_when_chosen_then_come_with_what_they_keep_and_are_a_dataset(client: Client, log: str, tmp_path: Path):
    job = client.run("importance-rounds", log, budget="10%").wait()
    report = job.report.json()
    assert {"estimates", "policies"} <= {table["name"] for table in report["tables"]}
    assert set(report["verdict"]["errors"]) == {"target", "uniform"}
    folder = job.summary.download(tmp_path)
    code = "import load; print(load.rounds['round_weight'].sum())"
    said = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True).stdout
    assert float(said) == pytest.approx(report["verdict"]["rows_share"] ** -1 * len(_rounds(folder)), rel=1e-6)
    again = client.evaluate(job.summary, log, evaluate={"learn": False}).wait()
    assert again.report.json()["verdict"]["errors"] == report["verdict"]["errors"]


def test_audit_when_asked_then_says_what_the_log_is_worth(client: Client, log: str):
    verdict = client.run("log-diagnostics", log).wait().report.json()["verdict"]
    assert verdict["status"] in ("sound", "thin")
    assert verdict["targets"][0]["policy_ess"] > 1


def test_estimate_when_the_target_is_unknown_then_names_those_there_are(client: Client, log: str):
    with pytest.raises(errors.DistilleryError) as caught:
        client.estimate(log, ["nobody"]).wait()
    assert "target" in str(caught.value.hint)


def test_open_bandit_log_when_estimated_then_honestly_cannot_tell_within_half_a_minute(client: Client, tmp_path: Path):
    folder = shared("obd_small")
    shutil.copy(folder / "bts" / "men.csv.gz", tmp_path)
    shutil.copy(folder / "bts" / "men_item_context.csv", tmp_path)
    started = time.monotonic()
    dataset = client.datasets.upload(tmp_path, kind="bandit")
    job = client.estimate(dataset, ["uniform"]).wait()
    took = time.monotonic() - started
    verdict = job.report.json()["verdict"]
    assert verdict["status"] == "cannot_tell"
    assert "cannot tell" in verdict["sentence"]
    assert verdict["targets"][0]["low"] < verdict["targets"][0]["value"] < verdict["targets"][0]["high"]
    assert verdict["settled_by"]
    assert took < 300, "ten times what it may take"


def _rounds(folder: Path) -> list[object]:
    from pyarrow import parquet

    return parquet.read_table(folder / "rounds.parquet")["action"].to_pylist()


def test_guide_when_its_lines_for_teams_are_run_then_python_and_shell_work(
    client: Client, installation: Installation, tmp_path: Path
):
    """Also end to end: policies uploaded after the log, by the client and by the command line."""
    page = (ROOT / "docs" / "off_policy.md").read_text(encoding="utf-8")
    told = page.split("## What a team asks before a launch")[1].split("\n## ")[0]
    parts = re.findall(r"^```(python|bash)\n(.*?)^```", told, re.MULTILINE | re.DOTALL)
    python = "".join(code for language, code in parts if language == "python")
    python += "print('named', log.reference, policy.reference)\n"
    run = {"cwd": tmp_path, "env": installation.environment, "capture_output": True, "text": True, "timeout": 250}
    done = subprocess.run([sys.executable, "-c", python], **run)
    assert done.returncode == 0, done.stderr
    assert "would have earned" in done.stdout
    _, log, policy = done.stdout.splitlines()[-1].split()
    (shell,) = [code for language, code in parts if language == "bash"]
    given = (
        f'set -eu\ndistillery() {{ {shlex.quote(sys.executable)} -m distillery "$@"; }}\nlog={log}\npolicy={policy}\n'
    )
    shown = subprocess.run(["bash", "-c", given + shell], **run)
    assert shown.returncode == 0, shown.stderr
    assert re.search("next_week would have earned .*: better by", shown.stdout)


def test_dataset_when_it_is_policies_alone_then_is_described_and_refused_as_a_log(client: Client, tmp_path: Path):
    made = planted(rounds=400)
    np.savez(tmp_path / "next.npz", probabilities=made["target"], index=made["user"])
    policies = client.datasets.upload(tmp_path / "next.npz", kind="bandit", options={"contents": "policies"})
    assert policies.statistics()["statistics"]["policies"]["next"]["actions"] == 12
    with pytest.raises(errors.DistilleryError) as caught:
        client.estimate(policies, ["uniform"]).wait()
    assert "targets" in str(caught.value.hint)
