"""A CSV of customers against a real service: upload, the default method, the report, and the bundle's loader."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from distillery import Client, errors
from tests.kinds.table.planted import customers_csv

JUDGED = {"learners": ["linear", "boosting", "majority"], "draws": 2, "bootstrap": 200}


def test_customers_when_summarised_by_default_then_come_back_in_their_columns_with_a_report(
    client: Client, tmp_path: Path
):
    customers_csv(tmp_path / "customers.csv", rows=1_500)
    dataset = client.datasets.upload(tmp_path / "customers.csv", kind="table", columns={"label": "churn"})
    job = client.run("auto", dataset.reference, budget=60, evaluate=JUDGED).wait()
    report = job.report.json()
    assert report["verdict"]["value"] > 0.85
    assert report["origin"]["method"] == "joint-herding"
    assert {one["name"] for one in report["tables"]} >= {"fidelity", "columns", "privacy"}
    folder = job.summary.download(tmp_path / "summary")
    code = "import load; print(load.table.num_rows, *load.table.column_names); print(load.encode(load.table).shape[0])"
    said = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["60", "age", "income", "visits", "city", "plan", "churn", "60"]
    again = client.evaluate(job.summary, dataset.reference, evaluate=JUDGED).wait().report.json()
    assert again["verdict"]["value"] == pytest.approx(report["verdict"]["value"])


def test_table_without_a_label_when_uploaded_then_is_refused_with_the_cure(client: Client, tmp_path: Path):
    customers_csv(tmp_path / "customers.csv", rows=200)
    with pytest.raises(errors.DistilleryError) as refused:
        client.datasets.upload(tmp_path / "customers.csv", kind="table")
    assert "label" in str(refused.value)
