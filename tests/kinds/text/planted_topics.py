"""Documents of topics with words of their own, some of them repeated with a word changed, as a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.kinds.text.planted import document, jsonl, words
from worker.contract.context import Context
from worker.kinds.text.dataset import Corpus, load
from worker.kinds.text.ingest import ingest


def topics(sizes: dict[str, int], copies: int = 0, seed: int = 0) -> list[dict[str, Any]]:
    """So many documents of each topic; and `copies` near-copies, each of them the first document of the first topic
    with its last word changed."""
    rng = np.random.default_rng(seed)
    found: list[dict[str, Any]] = []
    for number, (topic, size) in enumerate(sizes.items()):
        vocabulary = [f"{word}{topic}" for word in words(300, number)]
        found += [{"id": f"{topic}{at}", "text": document(rng, vocabulary, 40), "source": topic} for at in range(size)]
    first = found[0]["text"]
    found += [{"id": f"copy{at}", "text": f"{first} x{at}", "source": "copy"} for at in range(copies)]
    return found


def corpus(folder: Path, documents: list[dict[str, Any]], **options: Any) -> Corpus:
    """The version that documents become; all but a few are for training."""
    (folder / "out").mkdir(parents=True)
    given = {"holdout": 0.02, **options}
    ingest([("d.jsonl", jsonl(folder / "d.jsonl", documents))], given, folder / "out", Context(), {})
    return load(folder / "out")


def ids(summary: Any) -> set[str]:
    """The ids of what was kept."""
    rows = np.sort(summary.taken)
    return {name for batch in summary.corpus.read(rows, ("id",)) for name in batch.column(0).to_pylist()}


def sources(summary: Any) -> dict[str, int]:
    """How many were kept of each source."""
    names = np.array(summary.corpus.sources)[summary.corpus.source[summary.taken]]
    return {str(name): int(count) for name, count in zip(*np.unique(names, return_counts=True), strict=True)}
