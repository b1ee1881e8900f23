"""Made-up score tables of known truth."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

TRUTH = {"follows": 0.97, "reverses": -0.97, "noise": 0.0}
"""Correlation of true scores across stages, by what a benchmark's name begins with."""


def scores(rng: np.random.Generator, rho: float, runs: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of runs at two stages (runs,), correlating at `rho`."""
    first, other = rng.standard_normal((2, runs))
    return 0.5 + 0.05 * first, 0.6 + 0.04 * (rho * first + np.sqrt(1 - rho**2) * other)


SORTS = ("normal", "heavy", "skewed", "ties", "one failed run", "common factor")


def noise(
    sort: str, rng: np.random.Generator, runs: int, count: int, rho: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (runs, count) at two stages: the second is `rho` of the first and else noise of this sort."""
    shape = 2, runs, count
    match sort:
        case "heavy":
            a, b = rng.standard_t(1.5, shape)
        case "skewed":
            a, b = rng.exponential(size=shape)
        case "common factor":
            a, b = 0.3 * rng.standard_normal(shape) + rng.standard_normal((2, runs, 1))
        case _:
            a, b = rng.standard_normal(shape)
    b = rho * a + np.sqrt(1 - rho**2) * b
    if sort == "ties":
        a, b = np.round(a), np.round(b)
    if sort == "one failed run":
        a[0], b[0] = a[0] - 8, b[0] - 8
    return a, b


def rows(
    runs: int = 14, each: int = 2, seed: int = 0, stages: tuple[str, str] = ("pretrained", "tuned")
) -> list[dict[str, object]]:
    """A long table: `each` benchmarks of every truth, with confidence that follows accuracy."""
    rng = np.random.default_rng(seed)
    found: list[dict[str, object]] = []
    for name, rho in TRUTH.items():
        for number in range(each):
            for stage, values in zip(stages, scores(rng, rho, runs), strict=True):
                for run, value in enumerate(values.clip(0.01, 0.99).tolist()):
                    place = {"run": f"run{run:02}", "stage": stage, "benchmark": f"{name}-{number}", "category": name,
                             "mixture": "web" if run % 2 else "code"}  # fmt: skip
                    found.append(place | {"metric": "accuracy", "value": value, "n_examples": 2000})
                    sure = float(np.clip(value + 0.1 + 0.02 * rng.standard_normal(), 0, 1))
                    found.append(place | {"metric": "confidence", "value": sure, "n_examples": 2000})
    return found


def answers(table: list[dict[str, object]], examples: int = 30, seed: int = 1) -> list[dict[str, object]]:
    """Single answers to the accuracy rows of a table: confidence is right on average, with noise."""
    rng = np.random.default_rng(seed)
    found: list[dict[str, object]] = []
    for row in table:
        if row["metric"] == "accuracy":
            chance = rng.beta(8 * float(str(row["value"])), 8 * (1 - float(str(row["value"]))), examples)
            for at, (p, u) in enumerate(zip(chance.tolist(), rng.random(examples).tolist(), strict=True)):
                place = {name: row[name] for name in ("run", "stage", "benchmark")}
                found.append(place | {"example_id": f"q{at}", "correct": int(u < p), "confidence": round(p, 6)})
    return found


def write_csv(path: Path, table: list[dict[str, object]]) -> Path:
    """The rows as CSV."""
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return path
