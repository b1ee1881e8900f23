"""Pictures in folders against a real service: upload, the default method, the report, and the bundle's loader."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from distillery import Client, errors
from tests.kinds.images.uploads import encoded, image_folder, zipped

JUDGED = {"learners": ["ntk"], "baselines": ["random", "herding"], "draws": 2, "bootstrap": 200}


def test_pictures_when_summarised_by_default_then_come_with_a_report_and_a_loader(client: Client, tmp_path: Path):
    ((_, archive),) = image_folder(tmp_path)
    digits = client.datasets.upload(archive, kind="images")
    job = client.run("auto", digits.reference, ipc=1, evaluate=JUDGED).wait()
    report = job.report.json()
    assert report["verdict"]["value"] > 0.6
    assert report["origin"]["method"] == "kip-fc"
    assert "small images" in report["origin"]["reason"]
    assert {one["name"] for one in report["tables"]} >= {"fidelity", "bytes", "privacy", "ranking-scores"}
    folder = job.summary.download(tmp_path / "summary")
    assert len(list((folder / "images").rglob("*.png"))) == 3
    code = "import load; print(*load.x.shape, *load.classes, len(load.dataset()))"
    said = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True).stdout
    assert said.split() == ["3", "1", "8", "8", "0", "1", "2", "3"]
    again = client.evaluate(job.summary, digits.reference, evaluate=JUDGED).wait().report.json()
    assert again["verdict"]["value"] == pytest.approx(report["verdict"]["value"])


def test_pictures_of_several_sizes_when_uploaded_then_are_refused_with_the_cure(client: Client, tmp_path: Path):
    from numpy import uint8, zeros

    members = {f"{side}/{at}.png": encoded(zeros((side, side), uint8)) for side in (4, 6) for at in range(12)}
    ((_, archive),) = zipped(tmp_path / "pictures.zip", members)
    with pytest.raises(errors.DistilleryError) as refused:
        client.datasets.upload(archive, kind="images")
    assert "differ in size" in str(refused.value)
    assert "resize=4" in refused.value.hint
