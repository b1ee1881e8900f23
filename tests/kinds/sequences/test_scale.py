"""A log of 300,000 events in a process of its own: what `benchmarks.sequences_scale` does with 20 million."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.sequences_scale import make

FEW, EVENTS, ROOT = 30_000, 300_000, Path(__file__).resolve().parents[3]
BYTES_AN_EVENT, SLACK_MB = 300, 100


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    found = tmp_path_factory.mktemp("few"), tmp_path_factory.mktemp("many")
    for folder, events in zip(found, (FEW, EVENTS), strict=True):
        make(events, folder / "log.parquet")
    return found


def step(name: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.sequences_scale", "--step", name, "--folder", str(folder)]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def test_large_log_when_ingested_and_selected_from_then_memory_is_a_few_hundred_bytes_an_event(
    folders: tuple[Path, Path],
):
    most = (EVENTS - FEW) * BYTES_AN_EVENT / 1e6 + SLACK_MB  # beyond what imports take, which differs by machine
    held = np.ones(60_000_000)  # half a GB: what is measured must not be that of the process that asks
    few, ingested = (step("ingest", folder) for folder in folders)
    assert few["peak_mb"] < held.nbytes / 1e6
    del held
    assert ingested["events"] > 0.9 * EVENTS
    assert ingested["peak_mb"] - few["peak_mb"] < most
    few, covered = (step("coverage", folder) for folder in folders)
    assert covered["sequences"] == round(0.001 * ingested["sequences"])
    assert covered["peak_mb"] - few["peak_mb"] < most
