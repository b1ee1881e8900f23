"""All selections of documents beside each other: 20 % of the tokens of `web_quality_pool`, three seeds.

python -m benchmarks.text_samplers
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from benchmarks.record import write
from benchmarks.text_pool import PACKAGES, Pool, pool
from worker.contract.context import Context
from worker.kinds.text.dataset import TRAIN
from worker.kinds.text.summary import adopt
from worker.runtime.registry import discover

SEEDS = (0, 1, 2)
SIZE = {"rate": 0.2, "unit": "tokens"}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("random", {}),
    "random, near-copies dropped": ("random", {"dedup": "minhash"}),
    "density": ("density", {}),
    "density, 2 hashes": ("density", {"hashes": 2}),
    "semdedup": ("semdedup", {}),
    "prototypes": ("prototypes", {}),
    "d4": ("d4", {}),
    "perplexity, low": ("perplexity", {}),
    "perplexity, middle": ("perplexity", {"band": "middle"}),
    "dsir": ("dsir", {}),
    "quality-classifier": ("quality-classifier", {}),
}


def selections(corpus: Pool, known: dict[Any, Any]) -> dict[str, list[tuple[np.ndarray, float]]]:
    """By method, what each seed keeps, and in how many seconds."""
    found: dict[str, list[tuple[np.ndarray, float]]] = {}
    for label, (name, params) in METHODS.items():
        method = known["text", name]
        for seed in SEEDS:
            ctx = Context(seed=seed, inputs={"target": adopt(corpus.corpus, corpus.target)})
            start = time.perf_counter()
            made = method.run(corpus.corpus, method.params(**SIZE, **params), ctx)
            found.setdefault(label, []).append((np.sort(made.taken), time.perf_counter() - start))
        sys.stderr.write(f"{label}: selected\n")
    return found


def figures(corpus: Pool, picked: list[tuple[np.ndarray, float]], budget: int) -> dict[str, Any]:
    bits = [corpus.bits_per_byte(rows, budget, seed) for seed, (rows, _) in enumerate(picked)]
    return {
        "documents": round(float(np.mean([len(rows) for rows, _ in picked]))),
        "near_copies_kept": round(float(np.mean([corpus.copies_kept(rows) for rows, _ in picked])), 1),
        "group_entropy_bits": round(float(np.mean([corpus.entropy(rows) for rows, _ in picked])), 3),
        "seconds": round(float(np.median([seconds for _, seconds in picked])), 1),
        **{f"bits_per_byte_{name}": [round(one[name], 3) for one in bits] for name in corpus.tests},
    }


def main() -> None:
    known = discover()
    with pool() as corpus:
        found = selections(corpus, known)
        wiki = corpus.corpus.sources.index("wiki")
        train = corpus.corpus.rows(TRAIN)
        oracle = train[corpus.corpus.source[train] == wiki]
        budget = min(int(corpus.corpus.bytes[rows].sum()) for one in found.values() for rows, _ in one)
        budget = min(budget, int(corpus.corpus.bytes[oracle].sum()))
        table = {label: figures(corpus, one, budget) for label, one in found.items()}
        table["oracle: paragraphs of Wikipedia alone"] = figures(corpus, [(oracle, 0.0)], budget)
        table["full pool, cut to the same bytes"] = figures(corpus, [(train, 0.0)] * len(SEEDS), budget)
    for row in table.values():
        row["near_copies_of_random"] = round(row["near_copies_kept"] / table["random"]["near_copies_kept"], 3)
    write("text_samplers", {"training_bytes": budget, "seeds": len(SEEDS), "selections": table}, PACKAGES)


if __name__ == "__main__":
    main()
