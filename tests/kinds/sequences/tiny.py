"""Planted sequences, enough that the default budget of 1 % is more than one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.kinds.sequences.planted import planted_inter
from tests.kinds.tiny import Tiny


def _upload(folder: Path) -> list[tuple[str, Path]]:
    return [("planted.inter", planted_inter(folder / "planted.inter", users=300))]


def _loaded(summary: Any) -> tuple[str, float]:
    return "import load; print(sum(int(row.sum()) for row in load.rows))", float(summary.rows.items.sum())


TINY = Tiny(
    _upload,
    _loaded,
    options={"max_len": 10},
    evaluate={
        "learners": ["popularity", "markov", "sasrec"],
        "baselines": ["random", "k-center"],
        "draws": 2,
        "seeds": 2,
        "steps": 20,
        "bootstrap": 100,
    },
)
