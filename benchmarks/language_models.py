"""Perplexity of the small language models on WikiText-2, on all of the text and on synthetic windows of farzi.

Run: `python -m benchmarks.language_models [--only causal-lm lstm summary] [--seeds 2]`, with the small files of
WikiText-2 beside the clone: the validation articles train (their last tenth validates), the test articles test; words
seen three times or more, windows of 50. The number of training steps is chosen on validation for every set, the test
part is opened once; discounts of the bigram too. `summary`: 100 synthetic windows of 50 with a teacher's labels, and as
many real ones drawn at random, both for the causal model. Results are added to benchmarks/results/language_models.json
as they are found.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.farzi_figures import ladder
from benchmarks.record import RESULTS, write
from tests.shared_data import shared
from worker.contract.context import Context
from worker.kinds.sequences import dataset, ingest, sizes
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.farzi.students import STUDENTS
from worker.kinds.sequences.fitting import Fitting
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.learners.bigram import bigram
from worker.kinds.sequences.learners.unigram import unigram
from worker.kinds.sequences.methods.farzi import FarziParams, farzi
from worker.kinds.sequences.rows import Rows

STEPS, DISCOUNTS = (50, 100, 200, 300, 400), (0.1, 0.3, 0.5, 0.7, 0.8, 0.9)
SUMMARY: dict[str, Any] = {"n_sequences": 100, "sequence_length": 50, "outer_steps": 0, "delivery": ["soft"]}


def main() -> None:
    """What is asked for, one after the other."""
    parser = argparse.ArgumentParser(description="Perplexity on WikiText-2.")
    parser.add_argument("--only", nargs="+", default=["causal-lm", "lstm", "summary"])
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    data, file = wikitext(), RESULTS / "language_models.json"
    full = whole(data)
    found: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    found.pop("machine", None)
    held, test = data.held("validation"), data.held("test")
    found |= {
        "tokens": {"training": full.places, "validation": asked(held), "test": asked(test)},
        "vocabulary": data.n_items,
        "windows": len(full),
        "bytes": sizes.plain_bytes(sizes.hard_arrays(data.training().rows, data.n_items)),
        "floors": floors(full, held, test),
    }
    for name in given.only:
        if name == "summary":
            found[name] = of_summary(data, given.seeds)
        else:
            found[name] = tuned(full, name, held, test, given.seeds)
        write("language_models", found, ("torch", "numpy"))


def wikitext() -> Sequences:
    """The small files as an upload of texts with a given test part."""
    with tempfile.TemporaryDirectory() as folder:
        paragraphs = texts("valid")
        cut = len(paragraphs) - len(paragraphs) // 10
        files = {"train": paragraphs[:cut], "valid": paragraphs[cut:], "test": texts("test")}
        sources, out = list[tuple[str, Path]](), Path(folder) / "canonical"
        for name, text in files.items():
            path = Path(folder) / f"{name}.txt"
            path.write_text("\n".join(text) + "\n")
            sources.append((path.name, path))
        out.mkdir()
        ingest.ingest(sources, {"content": "text", "max_len": 50}, out, Context(), {})
        return dataset.load(out)


def texts(part: str) -> list[str]:
    """The paragraphs of a file."""
    with gzip.open(shared("wikitext2_small") / f"{part}.jsonl.gz", "rt") as lines:
        return [json.loads(line)["text"] for line in lines]


def whole(data: Sequences) -> TrainingSet:
    """All training windows."""
    return TrainingSet.of(data.training().rows, data.n_items, data.max_len)


def asked(rows: Rows) -> int:
    """Tokens that are predicted."""
    return int((rows.lengths - 1).sum())


def perplexity(model: Any, rows: Rows) -> float:
    """e to the mean surprise of a token."""
    return float(np.exp(model.surprise(rows).sum() / asked(rows)))


def floors(full: TrainingSet, held: Rows, test: Rows) -> dict[str, float]:
    """Unigram and bigram."""
    pairs = bigram(full, None, Context())
    best = min(DISCOUNTS, key=lambda one: perplexity(pairs.fit({"discount": one}, Context()), held))
    return {
        "unigram": round(perplexity(unigram(full, None, Context()).fit({}, Context()), test), 1),
        "bigram": round(perplexity(pairs.fit({"discount": best}, Context()), test), 1),
        "discount": best,
    }


def tuned(train: TrainingSet, name: str, held: Rows, test: Rows, seeds: int) -> dict[str, Any]:
    """The number of steps chosen on validation (mean of the seeds), then tested."""
    fits = [Fitting(STUDENTS[name], train, seed) for seed in range(seeds)]
    best, tried = (float("inf"), 0, list[Any]()), dict[int, float]()
    for steps in ladder(STEPS):
        models = [fit.fit({"steps": steps}, Context()) for fit in fits]
        tried[steps] = round(float(np.mean([perplexity(model, held) for model in models])), 1)
        sys.stderr.write(f"{name} {steps}: {tried[steps]}\n")
        if tried[steps] < best[0]:
            best = (tried[steps], steps, models)
        elif steps >= STEPS[-1]:
            break
    _, steps, models = best
    return {
        "steps": steps,
        "validation": tried,
        "train_s": round(float(np.mean([model.trained_s for model in models])), 1),
        "test": [round(perplexity(model, test), 1) for model in models],
    }


def of_summary(data: Sequences, seeds: int) -> dict[str, Any]:
    """Synthetic windows and random real ones, the same number of the same length."""
    started, train = time.perf_counter(), data.training()
    made = farzi(data, FarziParams(**SUMMARY), Context(seed=1))
    seconds, held, test = round(time.perf_counter() - started, 1), data.held("validation"), data.held("test")
    drawn = np.random.default_rng(0).permutation(len(train))[: SUMMARY["n_sequences"]]
    real = TrainingSet.of(train.rows.take(np.sort(drawn)), data.n_items, data.max_len)
    return {
        "params": SUMMARY,
        "seconds": seconds,
        "teacher": made.origin.settings["teacher"],
        "bytes": sizes.plain_bytes(made.arrays("soft")),
        "farzi": tuned(made.delivered()["soft"], "causal-lm", held, test, seeds),
        "random": tuned(real, "causal-lm", held, test, seeds),
    }


if __name__ == "__main__":
    main()
