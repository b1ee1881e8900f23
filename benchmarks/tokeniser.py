"""ActionPiece's vocabulary learned by us and by the published Python code, on Amazon Beauty and Sports.

Run: `python -m benchmarks.tokeniser --published CLONE [--seconds 600] [--vocabulary 40000]`, with a clone of
google-deepmind/action_piece (commit ae8e61a; its core needs numpy and tqdm). Features are codes of attributes and of
what occurs together, with a last digit that tells equal items apart.

Ours alone learns the whole vocabulary. The published code merges for `--seconds` of CPU; ours then
learns as many merges, and both are timed from the corpus to the last of them, in this one process. What the published
code would take for the whole vocabulary is extrapolated from the mean of the last tenth of its merges, and called so.

Three comparisons of what is learned: the count of the first merge, which that code has right; all rules under
`compat="stale"`; and those rules again with that code's two counting functions in whole numbers, since its floats break
ties by rounding. Without a clone only our figures are measured.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from math import lcm
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.record import write
from tests.shared_data import shared
from worker.contract.context import Context
from worker.kinds.sequences.pieces import features, learning
from worker.kinds.sequences.pieces.learning import Rules, learn
from worker.kinds.sequences.rows import Rows

DATASETS = {"beauty": ("seq-amazon-beauty", "Beauty"), "sports": ("seq-amazon-sports", "Sports_and_Outdoors")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--published", type=Path)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--vocabulary", type=int, default=40_000)
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS))
    parser.add_argument("--sequences", type=int, default=0, help="the first so many; 0 takes all")
    given = parser.parse_args()
    learning.warm_up()
    figures = {
        name: compare(name, given.sequences, given.vocabulary, given.published, given.seconds)
        for name in given.datasets
    }
    write("tokeniser", {"vocabulary": given.vocabulary, "datasets": figures}, ("numpy", "numba", "scipy"))


def corpus(name: str) -> tuple[Rows, np.ndarray]:
    """Training sequences (all but the last two events of each), and item features int64 (V, 5)."""
    folder, file = DATASETS[name]
    lines = gzip.decompress((shared(folder) / f"{file}.txt.gz").read_bytes()).decode().splitlines()
    rows = [np.array(line.split()[1:-2], np.int64) - 1 for line in lines]
    items = 1 + max(int(word) for line in lines for word in line.split()[1:])
    known = json.loads(gzip.decompress((shared(folder) / f"{file}_item2attributes.json.gz").read_bytes()))
    pairs = np.array([(int(item) - 1, number) for item, numbers in known.items() for number in numbers])
    attributes = sparse.csr_array((np.ones(len(pairs)), pairs.T), shape=(items - 1, pairs[:, 1].max() + 1))
    attributes.data[:] = 1.0
    train = Rows.of(rows)
    vectors = features.joined(
        [
            features.cooccurrence_vectors(train.indptr, train.items, items - 1, 64, 0),
            features.attribute_vectors(attributes, 64, 0),
        ]
    )
    trained = np.bincount(train.items, minlength=items - 1) > 0
    codes = features.from_vectors(vectors, trained, 4, 256, np.random.default_rng(0), lambda *_: None)
    return train, features.told_apart(codes, None, np.random.default_rng(0))[0]


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What it returns; wall-clock and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    made = work()
    return made, {"wall_s": round(time.perf_counter() - wall, 2), "cpu_s": round(time.process_time() - cpu, 2)}


def compare(name: str, some: int, vocabulary: int, published: Path | None, seconds: float) -> dict[str, Any]:
    rows, codes = corpus(name)
    rows = rows.take(np.arange(min(some or len(rows), len(rows))))
    found: dict[str, Any] = {"training_events": len(rows.items), "sequences": len(rows), "items": len(codes)}
    for compat in ("exact", "stale"):
        made, cost = timed(
            lambda c=compat: learn(rows.indptr, rows.items, codes, Rules(vocabulary, compat=c), Context())
        )
        found[compat] = cost | {"tokens": len(made), "least_count": float(made.priority[-1])}
        write_progress(name, compat, found[compat])
    if published is None:
        return found | {"published": "left out: no --published"}
    sys.path.insert(0, str(published))
    theirs = run_published(rows, codes, vocabulary, seconds, whole_numbers=False)
    merges, first = theirs["merges"], theirs["first"]
    size = first + merges
    _, cost = timed(lambda: learn(rows.indptr, rows.items, codes, Rules(size), Context()))
    stale, stale_cost = timed(lambda: learn(rows.indptr, rows.items, codes, Rules(size, compat="stale"), Context()))
    exact = learn(rows.indptr, rows.items, codes, Rules(first + 1), Context())
    left = vocabulary - first - merges
    whole = theirs["cpu_s"] + left * theirs["late_s"]
    whole_numbers = run_published(rows, codes, vocabulary, seconds, whole_numbers=True)
    shared_merges = min(merges, whole_numbers["merges"])
    return found | {
        "published": {key: value for key, value in theirs.items() if key not in ("rules", "counts")},
        "ours_same_merges": cost,
        "ours_same_merges_stale": stale_cost,
        "ratio_of_cpu_at_equal_merges": round(theirs["cpu_s"] / cost["cpu_s"], 1),
        "ratio_of_cpu_for_all_extrapolated": round(whole / found["exact"]["cpu_s"], 1),
        "first_count_theirs_ours": [theirs["counts"][0], float(exact.priority[0])],
        "rules_equal_under_stale": equal_before(theirs["rules"], stale.rules.tolist()),
        "rules_equal_under_stale_in_whole_numbers": [
            equal_before(whole_numbers["rules"], stale.rules.tolist()[:shared_merges]), shared_merges,
        ],
    }  # fmt: skip


def write_progress(name: str, what: str, figures: dict[str, Any]) -> None:
    sys.stderr.write(f"{name} {what}: {json.dumps(figures)}\n")


def equal_before(one: list[list[int]], other: list[list[int]]) -> int:
    """How many rules are equal before the first that is not."""
    return next(
        (i for i, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other))
    )


def run_published(
    rows: Rows, codes: np.ndarray, vocabulary: int, seconds: float, *, whole_numbers: bool
) -> dict[str, Any]:
    """The published core on the same corpus, until `seconds` of merging are over."""
    from genrec.models.ActionPiece.core import ActionPieceCore

    core = (whole(ActionPieceCore, codes.shape[1]) if whole_numbers else ActionPieceCore)(
        state2feat={str(item): row for item, row in enumerate(codes.tolist())}
    )
    first = len(core.vocab)
    wall, cpu = time.perf_counter(), time.process_time()
    core._build(core._get_token_corpus([[str(item) for item in rows.row(r).tolist()] for r in range(len(rows))]))
    built, each = time.process_time() - cpu, []
    error = ""
    while len(core.vocab) < vocabulary and time.process_time() - cpu < seconds + built:
        before = time.process_time()
        try:
            core._train_step()
        except AssertionError as failed:
            error = f"its own assertion failed after {len(each)} merges: {failed}"
            break
        each.append(time.process_time() - before)
    merges = len(each)
    scale = lcm(*range(1, codes.shape[1] + 1)) ** 2 if whole_numbers else 1
    found = {
        "first": first,
        "merges": merges,
        "wall_s": round(time.perf_counter() - wall, 2),
        "cpu_s": round(time.process_time() - cpu, 2),
        "build_s": round(built, 2),
        "late_s": round(float(np.mean(each[-max(1, merges // 10) :])), 4),
        "error": error,
        "rules": [list(token[1:]) for token in core.vocab[first : first + merges]],
        "counts": [float(count) / scale for count in core.priority[first : first + merges]],
    }
    write_progress(
        "published", "whole numbers" if whole_numbers else "", {k: v for k, v in found.items() if k[-1] != "s"}
    )
    return found


def whole(core: type, m: int) -> type:
    """The published class with its two counting functions in units of 1 / lcm(1..m)²."""
    scale = lcm(*range(1, m + 1)) ** 2

    class Whole(core):
        def _count_pairs_inside_state(self, state: list[int]) -> dict[tuple[int, int], int]:
            found: dict[tuple[int, int], int] = defaultdict(int)
            for place, one in enumerate(state):
                for other in state[place + 1 :]:
                    found[min(one, other), max(one, other)] += 2 * scale // len(state)
            return found

        def _count_pairs_btw_states(self, state1: list[int], state2: list[int]) -> dict[tuple[int, int], int]:
            found: dict[tuple[int, int], int] = defaultdict(int)
            for one in state1:
                for other in state2:
                    found[min(one, other), max(one, other)] += scale // (len(state1) * len(state2))
            return found

    return Whole


if __name__ == "__main__":
    main()
