"""docs/tables.md is true: its tables of figures are those of the benchmark's results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.record import RESULTS
from benchmarks.tables import table

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "tables.md").read_text(encoding="utf-8")


@pytest.mark.skipif(not (RESULTS / "tables.json").exists(), reason="python -m benchmarks.tables was not run yet")
def test_figures_when_beside_the_results_then_are_the_same():
    found = json.loads((RESULTS / "tables.json").read_text())
    for data in found["tables"]:
        assert "\n".join(table(found, data)) in PAGE, "run: python -m benchmarks.tables --table"
