"""Does what holds on Cora's public split hold on others? Two reductions and the whole graph on random splits.

Run: `python -m benchmarks.graph_splits [--splits 5]`. Each split is drawn anew in sizes of the public one: 20 train
nodes a class, 500 validation and 1,000 test nodes. On each, `k-means-prop` and `teacher-k-means` make 70 nodes, and
three GCNs are trained by the protocol of GC4NC on what they made and on the whole graph; differences are paired by
split. The dataset may not be redistributed: its folder is `DISTILLERY_SHARED_DATA`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.graphs import SIZES, accuracies, planetoid, shared
from benchmarks.record import write

METHODS = ("k-means-prop", "teacher-k-means")
TRAIN_A_CLASS, VALIDATION_NODES, TEST_NODES = 20, 500, 1000
TRAININGS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--splits", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    whole = planetoid(shared() / "cora" / "cora.npz")
    rows = [one_split(drawn(whole, seed), seed) for seed in range(given.splits)]
    differences = {
        f"teacher-k-means minus {other}": spread([row["teacher-k-means"] - row[other] for row in rows])
        for other in ("k-means-prop", "whole graph")
    }
    means = {name: spread([row[name] for row in rows]) for name in rows[0]}
    figures = {"nodes": SIZES["cora"], "splits": rows, "means": means, "differences": differences}
    write("graph_splits", figures, ("numpy", "scipy", "torch", "scikit-learn"))


def drawn(graph: Any, seed: int) -> Any:
    """The graph with a split of its own."""
    from worker.kinds.graph.dataset import NONE, TEST, TRAIN, VALIDATION

    rng = np.random.default_rng(seed)
    order = rng.permutation(graph.n)
    split = np.full(graph.n, NONE, np.int8)
    for label in range(graph.n_classes):
        split[order[graph.y[order] == label][:TRAIN_A_CLASS]] = TRAIN
    rest = order[split[order] == NONE]
    split[rest[:VALIDATION_NODES]] = VALIDATION
    split[rest[VALIDATION_NODES : VALIDATION_NODES + TEST_NODES]] = TEST
    return replace(graph, split=split)


def one_split(graph: Any, seed: int) -> dict[str, float]:
    """Mean test accuracy in percent of every method, and of the whole graph."""
    from worker.contract.context import Context
    from worker.kinds.graph.training_graph import TrainingGraph
    from worker.runtime.registry import discover

    found = {"whole graph": mean(accuracies(graph, TrainingGraph.of(graph), TRAININGS))}
    for name in METHODS:
        method = discover()["graph", name]
        made = method.run(graph, method.params(n_nodes=SIZES["cora"]), Context(seed=seed))
        found[name] = mean(accuracies(graph, made.training(), TRAININGS))
    sys.stderr.write(f"split {seed}: {found}\n")
    return found


def mean(values: list[float]) -> float:
    return round(float(np.mean(values)), 2)


def spread(values: list[float]) -> dict[str, float]:
    """Mean and standard deviation over the splits."""
    return {"mean": mean(values), "std": round(float(np.std(values, ddof=1)), 2)}


if __name__ == "__main__":
    main()
