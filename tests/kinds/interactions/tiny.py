"""Planted interactions with more users than the default budget of 500, and rows long enough for learned ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.kinds.tiny import Tiny
from tests.planted import planted_csv


def _upload(folder: Path) -> list[tuple[str, Path]]:
    return [("planted.csv", planted_csv(folder / "planted.csv", users=700, items=60))]


def _loaded(summary: Any) -> tuple[str, float]:
    return "import load; print(load.rows.sum())", float(summary.rows.sum())


TINY = Tiny(_upload, _loaded, evaluate={"learners": ["popularity", "ease"], "draws": 2, "bootstrap": 100})
