"""A log of 300,000 events in a process of its own: what `benchmarks.sequences_scale` does with 20 million."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.sequences_scale import make

EVENTS, ROOT = 300_000, Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("scale")
    make(EVENTS, found / "log.parquet")
    return found


def step(name: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.sequences_scale", "--step", name, "--folder", str(folder)]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def test_large_log_when_ingested_and_selected_from_then_memory_is_a_few_hundred_bytes_an_event(folder: Path):
    held = np.ones(60_000_000)  # half a GB: what is measured must not be that of the process that asks
    ingested = step("ingest", folder)
    assert ingested["events"] > 0.9 * EVENTS
    assert ingested["peak_mb"] < 250 + 300 * EVENTS / 1e6
    del held
    covered = step("coverage", folder)
    assert covered["sequences"] == round(0.001 * ingested["sequences"])
    assert covered["peak_mb"] < 500 + 300 * EVENTS / 1e6
