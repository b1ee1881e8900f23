"""How often benchmarks of a score table get the wrong word: on noise of six sorts, and on known correlations.

Run: `python -m benchmarks.transfer_false_claims [--tables 200]`. `noise`: per cent of tables without any relation in
which a benchmark, or one of 20, is called reliable, by sort of noise and runs; `at the level`: the same of single
benchmarks whose true correlation is 0.3, the level itself; `right`: per cent of benchmarks with a true correlation of
0.9, 0.97 and -0.9 that get their word. 500 bootstrap resamples, 2,000 permutations.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.record import write
from tests.kinds.scores.judged import judged
from tests.kinds.scores.planted import SORTS, noise

RUNS = {"5 to 9": (5, 6, 7, 8, 9), "14": (14,), "30": (30,)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=200)
    tables = parser.parse_args().tables
    figures: dict[str, Any] = {"tables": tables, "noise": {}, "at the level": {}, "right": {}}
    for count in (1, 20):
        figures["noise"][str(count)] = {
            sort: {name: any_reliable(sort, runs, count, 0.0, tables) for name, runs in RUNS.items()} for sort in SORTS
        }
    figures["at the level"] = {
        sort: {name: any_reliable(sort, runs, 1, 0.3, tables) for name, runs in RUNS.items()} for sort in SORTS
    }
    for rho, word in ((0.9, "reliable"), (0.97, "reliable"), (-0.9, "unreliable")):
        figures["right"][str(rho)] = {name: right(runs, rho, word, tables) for name, runs in RUNS.items()}
    write("transfer_false_claims", figures, ("numpy", "scipy"))


def any_reliable(sort: str, runs: Sequence[int], count: int, rho: float, tables: int) -> float:
    """Per cent of tables with a reliable benchmark."""
    return 100 * float(np.mean(["reliable" in words(sort, runs, count, rho, seed) for seed in range(tables)]))


def right(runs: Sequence[int], rho: float, word: str, tables: int) -> float:
    """Per cent of benchmarks that get this word."""
    found = Counter(one for seed in range(tables) for one in words("normal", runs, 1, rho, seed))
    return 100 * found[word] / tables


def words(sort: str, cycle: Sequence[int], count: int, rho: float, seed: int) -> list[str]:
    """Words of the benchmarks of one table."""
    runs = cycle[seed % len(cycle)]
    rng = np.random.default_rng([seed, runs, count])
    first, second = noise(sort, rng, runs, count, rho)
    return [one.word for one in judged(first, second, seed, resamples=500, permutations=2000)]


if __name__ == "__main__":
    main()
