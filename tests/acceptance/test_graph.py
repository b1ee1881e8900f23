"""A graph against a real service: uploaded, condensed, judged, downloaded, loaded, evaluated on axes, refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from distillery import Client, errors
from tests.planted_graph import as_npz, planted

QUICK = {"learners": ["gcn", "mlp", "majority"], "runs": 1, "epochs": 45, "draws": 2, "bootstrap": 100}


@pytest.fixture(scope="module")
def dataset(client: Client, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A planted graph of 240 nodes in three classes; the reference."""
    file = as_npz(planted(240, classes=3, features=12), tmp_path_factory.mktemp("graph") / "graph.npz")
    return client.datasets.upload(file, kind="graph").reference


def test_graph_when_condensed_then_the_report_states_every_size_and_the_summary_trains(
    client: Client, dataset: str, tmp_path: Path
):
    job = client.run("auto", dataset, n_nodes=12, evaluate=QUICK).wait()
    report = job.report.json()
    tables = {table["name"]: table for table in report["tables"]}
    (size,) = tables["condensed_sizes"]["rows"]
    assert (size["nodes"], size["of_all"]) == (12, 5.0)
    assert size["sees"] == "all nodes (transductive)"
    assert tables["teachers"]["rows"][0]["accuracy"] > 50
    assert any("transductive" in text for text in report["warnings"])
    assert report["verdict"]["sentence"]
    folder = job.summary.download(tmp_path)
    code = "import load; data = load.tensors(); print(len(data['y']), data['y_soft'].sum().item())"
    said = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True).stdout
    assert [round(float(word), 3) for word in said.split()] == [12, 12]


def test_graph_when_condensed_by_rate_then_it_can_be_evaluated_on_axes(client: Client, dataset: str):
    job = client.run("k-means-prop", dataset, reduction_rate=0.25, evaluate=QUICK).wait()
    axes = ["performance", "properties", "privacy"]
    judged = client.run("evaluate", dataset, inputs={"summary": [job.summary]}, axes=axes, evaluate=QUICK).wait()
    report = judged.report.json()
    assert "properties" in {table["name"] for table in report["tables"]}
    assert any("no guarantee" in text for text in report["warnings"])


def test_graph_when_the_budget_is_below_its_classes_then_the_least_is_named(client: Client, dataset: str):
    job = client.run("k-means-prop", dataset, n_nodes=2)
    with pytest.raises(errors.DistilleryError) as caught:
        job.wait()
    assert "between 3 and" in caught.value.hint


def test_pickle_when_uploaded_then_the_conversion_is_shown(client: Client, tmp_path: Path):
    import torch

    torch.save({"x": torch.ones(2, 2)}, tmp_path / "data.pt")
    with pytest.raises(errors.DistilleryError) as caught:
        client.datasets.upload(tmp_path / "data.pt", kind="graph")
    assert "torch.load" in caught.value.hint
