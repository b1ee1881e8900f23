"""docs/graph_methods.md is true: its table is that of the benchmark's results, and it names methods there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.graphs import table
from benchmarks.record import RESULTS
from worker.runtime.registry import discover

PAGE = Path(__file__).resolve().parents[3] / "docs" / "graph_methods.md"


@pytest.mark.skipif(not (RESULTS / "graphs.json").exists(), reason="python -m benchmarks.graphs was not run yet")
def test_table_when_beside_the_results_then_is_the_same():
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert lines == table(), "run: python -m benchmarks.graphs --table"


def test_methods_when_explained_then_exist():
    explained = re.findall(r"^\*\*(.+?)\*\*", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    named = {name for words in explained for name in re.findall(r"`([a-z0-9-]+)`", words)}
    assert len(named) >= 13
    assert named <= {name for kind, name in discover() if kind == "graph"}
