"""600 made-up customers who leave or stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.kinds.table.planted import customers_csv
from tests.kinds.tiny import Tiny


def _upload(folder: Path) -> list[tuple[str, Path]]:
    return [("customers.csv", customers_csv(folder / "customers.csv"))]


def _loaded(summary: Any) -> tuple[str, float]:
    total = float(abs(summary.encoded.x).sum() + summary.weights.sum())
    return "import load; print(abs(load.encode(load.table)).sum() + load.weights.sum())", total


TINY = Tiny(
    _upload,
    _loaded,
    options={"columns": {"label": "churn"}},
    evaluate={"learners": ["majority", "linear", "boosting"], "draws": 2, "bootstrap": 100},
)
