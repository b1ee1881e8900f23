"""Sequences against a real service: upload, select, report, download, load; a text; a refusal that says its cure."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from distillery import Client, errors
from tests.acceptance.conftest import ROOT, Installation
from tests.kinds.sequences.planted import planted_inter, prose

QUICK = {"learners": ["popularity", "markov", "sasrec"], "baselines": ["random"], "draws": 1, "seeds": 1, "steps": 40}


@pytest.fixture(scope="module")
def log(client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """150 planted sequences; the reference."""
    file = planted_inter(tmp_path_factory.mktemp("log") / "planted.inter", users=150)
    return client.datasets.upload(file, kind="sequences").reference


def test_selection_when_asked_for_then_comes_with_its_evidence_and_a_loader(client: Client, log: str, tmp_path: Path):
    job = client.run("coverage", log, budget=20, evaluate=QUICK | {"bootstrap": 100}).wait()
    report = job.report.json()
    assert {"data_card", "breakdown", "rows"} <= {table["name"] for table in report["tables"]}
    assert report["metric"]["name"] == "ndcg@10"
    assert "nDCG@10" in job.report.markdown()
    folder = job.summary.download(tmp_path)
    code = "import load; print(len(load.rows), len(load.vocabulary), sum(map(len, load.rows)))"
    said = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True).stdout
    rows, items, events = map(int, said.split())
    assert (rows, items) == (20, 30)
    lines = [json.loads(line) for line in (folder / "hard.jsonl").read_text().splitlines()]
    assert sum(len(line["items"]) for line in lines) == events
    again = client.run("next-event", log, inputs={"summary": job.summary}, evaluate=QUICK | {"bootstrap": 100}).wait()
    assert again.report.json()["protocol"]["hash"] == report["protocol"]["hash"]


def test_page_when_its_lines_are_run_then_they_work(installation: Installation, tmp_path: Path):
    rows = [f"{user},{(7 * user + step) % 30},{1_600_000_000 + step}" for user in range(60) for step in range(6)]
    (tmp_path / "ratings.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    page = (ROOT / "docs" / "sequences.md").read_text(encoding="utf-8")
    program = "\n".join(re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL))
    command = [sys.executable, "-P", "-c", program]
    environment = installation.environment
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^25 \d+$", done.stdout, re.MULTILINE)


def test_text_when_uploaded_then_is_judged_by_perplexity(client: Client, tmp_path: Path):
    (tmp_path / "book.txt").write_text(prose(300))
    text = client.datasets.upload(tmp_path / "book.txt", kind="sequences", options={"max_len": 16}).reference
    asked = {
        "learners": ["unigram", "bigram", "causal-lm"],
        "baselines": ["random"],
        "draws": 1,
        "seeds": 1,
        "steps": 25,
    }
    job = client.run("random", text, budget=12, evaluate=asked | {"bootstrap": 100}).wait()
    report = job.report.json()
    assert report["metric"]["name"] == "perplexity"
    assert not report["metric"]["higher_is_better"]


def test_log_when_nothing_says_its_order_then_the_refusal_s_cure_works(client: Client, tmp_path: Path):
    rows = [f"{user},{item}" for user in range(40) for item in range(user % 7, user % 7 + 5)]
    (tmp_path / "pairs.csv").write_text("\n".join(["user_id,item_id", *rows]) + "\n")
    with pytest.raises(errors.DistilleryError, match="in which order") as refused:
        client.datasets.upload(tmp_path / "pairs.csv", kind="sequences")
    assert "rows_in_time_order=true" in str(refused.value.hint)
    again = client.datasets.upload(tmp_path / "pairs.csv", kind="sequences", options={"rows_in_time_order": True})
    assert again.statistics()["statistics"]["events"] == 200
