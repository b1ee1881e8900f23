"""Planted sequences, enough that the default budget of 1 % is more than one; for what is about text, a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.kinds.sequences.planted import planted_inter, prose
from tests.kinds.tiny import Tiny
from worker.kinds.sequences.tokeniser import Tokeniser


def _upload(folder: Path) -> list[tuple[str, Path]]:
    return [("planted.inter", planted_inter(folder / "planted.inter", users=300))]


def _few(folder: Path) -> list[tuple[str, Path]]:
    return [("planted.inter", planted_inter(folder / "planted.inter", users=200))]


def _loaded(summary: Any) -> tuple[str, float]:
    if isinstance(summary, Tokeniser):
        item, tokens = str(summary.item_ids[0]), int(summary.written.rows.items.sum())
        ask = f"load.item(load.encode([{item!r}])) == {item!r} and load.lossless([{item!r}] * 3)"
        return f"import load; print(sum(sum(row) for row in load.sequences()['tokens'].to_pylist()) * ({ask}))", tokens
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
JUDGED = {
    "learners": ["popularity", "markov", "sasrec"],
    "baselines": ["random", "k-center"],
    "draws": 2,
    "seeds": 2,
    "steps": 20,
    "bootstrap": 100,
}
SHORT = Tiny(_few, _loaded, options={"max_len": 5}, evaluate=JUDGED)  # for whom teaches at length
TINY = Tiny(_upload, _loaded, options={"max_len": 10}, evaluate=JUDGED, others={"perplexity": TEXT, "farzi": SHORT})
