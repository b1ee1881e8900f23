"""Raw files of documents with labels against a real service: upload, the default method, the report, the loader."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from distillery import Client, errors
from tests.kinds.labels.planted import raw_files

JUDGED = {"learners": ["centroid", "most-frequent"], "draws": 2, "bootstrap": 200}


def test_documents_when_summarised_by_default_then_come_back_with_their_labels_and_a_report(
    client: Client, tmp_path: Path
):
    files = raw_files(tmp_path / "upload", train=600, test=300)
    dataset = client.datasets.upload([path for _, path in files], kind="labels")
    job = client.run("auto", dataset.reference, budget=80, evaluate=JUDGED).wait()
    report = job.report.json()
    assert report["verdict"]["value"] > 0.6
    assert report["verdict"]["metric"] == "p1"
    assert "`auto` chose" in report["origin"]["reason"]
    assert {one["name"] for one in report["tables"]} >= {"fidelity", "metrics", "labels_lost", "privacy"}
    folder = job.summary.download(tmp_path / "summary")
    code = "import load; print(*load.labels.shape, len(load.weights), len(load.bodies))"
    said = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True).stdout
    count, labels, weights, bodies = map(int, said.split())
    assert count == weights == bodies <= 80
    assert labels == 40
    again = client.evaluate(job.summary, dataset.reference, evaluate=JUDGED).wait().report.json()
    assert again["verdict"]["value"] == pytest.approx(report["verdict"]["value"])


def test_documents_without_text_when_uploaded_then_are_refused_with_the_cure(client: Client, tmp_path: Path):
    (tmp_path / "d.csv").write_text("number,tags\n" + "".join(f"{n},a|b\n" for n in range(50)))
    with pytest.raises(errors.DistilleryError) as refused:
        client.datasets.upload(tmp_path / "d.csv", kind="labels")
    assert "text" in str(refused.value)
