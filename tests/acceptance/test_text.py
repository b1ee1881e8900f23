"""Documents against a real service: upload, a random fifth, the report, the loader, and the door `evaluate`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from distillery import Client, errors
from tests.kinds.text.planted import jsonl, records

JUDGED = {"learners": ["ngram"], "draws": 2, "bootstrap": 200}


def test_documents_when_a_fifth_is_kept_then_come_back_with_a_report_and_load(client: Client, tmp_path: Path):
    jsonl(tmp_path / "documents.jsonl", records(600))
    dataset = client.datasets.upload(tmp_path / "documents.jsonl", kind="text")
    job = client.run("random", dataset.reference, budget="20%", evaluate=JUDGED).wait()
    report = job.report.json()
    assert report["origin"]["method"] == "random"
    assert report["verdict"]["sentence"]
    assert "fidelity" in {one["name"] for one in report["tables"]}
    folder = job.summary.download(tmp_path / "summary")
    code = "import load; print(load.table().num_rows, len(list(load.texts())), next(load.documents())['weight'])"
    said = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True).stdout
    kept = json.loads((folder / "summary.json").read_text())["documents"]
    assert said.split() == [str(kept), str(kept), "1.0"]
    again = client.evaluate(job.summary, dataset.reference, evaluate=JUDGED).wait().report.json()
    assert again["verdict"]["value"] == pytest.approx(report["verdict"]["value"])


def test_documents_without_text_when_uploaded_then_refused_with_the_cure(client: Client, tmp_path: Path):
    jsonl(tmp_path / "documents.jsonl", [{"words": f"d{number}"} for number in range(20)])
    with pytest.raises(errors.DistilleryError) as refused:
        client.datasets.upload(tmp_path / "documents.jsonl", kind="text")
    assert "text" in str(refused.value)
