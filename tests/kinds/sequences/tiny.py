"""Planted sequences, enough that the default budget of 1 % is more than one; for what is about text, a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.kinds.sequences.planted import planted_inter, prose
from tests.kinds.tiny import Tiny


def _upload(folder: Path) -> list[tuple[str, Path]]:
    return [("planted.inter", planted_inter(folder / "planted.inter", users=300))]


def _loaded(summary: Any) -> tuple[str, float]:
    return "import load; print(sum(int(row.sum()) for row in load.rows))", float(summary.rows.items.sum())


def _text(folder: Path) -> list[tuple[str, Path]]:
    (folder / "book.txt").write_text(prose(150))
    return [("book.txt", folder / "book.txt")]


TEXT = Tiny(
    _text,
    _loaded,
    options={"max_len": 12, "min_item_count": 1},
    evaluate={
        "learners": ["unigram", "bigram", "causal-lm"],
        "baselines": ["random"],
        "draws": 1,
        "seeds": 1,
        "steps": 25,
        "bootstrap": 100,
    },
)
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
    others={"perplexity": TEXT},
)
