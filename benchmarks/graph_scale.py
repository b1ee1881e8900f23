"""A million nodes, ten million edges, 128 features: ingest, k-means-prop to 5,000 nodes, a GCN judged on a sample.

Run: `python -m benchmarks.graph_scale [--nodes 1000000]`. The graph is generated (classes with means, homophily 0.8)
and uploaded as an npz; all runs in one process, whose peak of resident memory is written down.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.record import write
from worker.contract.context import Context
from worker.kinds.graph import dataset, ingest
from worker.kinds.graph.dataset import TEST, VALIDATION
from worker.kinds.graph.held import held_out
from worker.kinds.graph.learners.gcn import gcn
from worker.kinds.graph.methods.k_means_prop import KMeansPropParams, k_means_prop
from worker.kinds.graph.methods.random import RandomParams, random
from worker.kinds.graph.trials import GC4NC, Bench

CLASSES, FEATURES, HOMOPHILY = 5, 128, 0.8
APART = 0.05  # deviation of class means, of which noise is sixty times: with more, every node is told right


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--condensed", type=int, default=5_000)
    given = parser.parse_args()
    figures: dict[str, Any] = {"nodes": given.nodes, "edges_asked": 10 * given.nodes, "features": FEATURES}
    figures["threads"] = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        upload, out = Path(folder) / "graph.npz", Path(folder) / "version"
        out.mkdir()
        generate(upload, given.nodes)
        figures["peak_mb_generated"] = peak_mb()
        options = {"split": "random", "split_ratios": [0.5, 0.25, 0.25]}
        figures["ingest_s"] = timed(lambda: ingest.ingest([("graph.npz", upload)], options, out, Context(), {}))[1]
        figures["peak_mb_ingested"] = peak_mb()
        graph, figures["load_s"] = timed(lambda: dataset.load(out))
    figures["edges"] = graph.edges
    made, figures["k_means_prop_s"] = timed(
        lambda: k_means_prop(graph, KMeansPropParams(n_nodes=given.condensed), Context())
    )
    figures["peak_mb_condensed"] = peak_mb()
    (validation, test), figures["sample_s"] = timed(
        lambda: (held_out(graph, VALIDATION, 200), held_out(graph, TEST, 1000))
    )
    picked = random(graph, RandomParams(n_nodes=given.condensed), Context())
    for name, one in (("k-means-prop", made), ("random", picked)):
        trial = gcn(one.training(), Bench(validation), Context())
        model, seconds = timed(lambda trial=trial: trial.fit(GC4NC, Context()))
        figures[name] = {"gcn_s": seconds, "accuracy": round(100 * float((model.predict(test) == test.y).mean()), 1)}
    figures["total_s"] = round(
        sum(figures[name] for name in ("ingest_s", "load_s", "k_means_prop_s", "sample_s"))
        + figures["k-means-prop"]["gcn_s"], 1,
    )  # fmt: skip
    figures["peak_mb"] = peak_mb()
    write(f"graph_scale_{given.nodes}", figures, ("torch", "numpy", "scipy"))


def generate(file: Path, n: int) -> None:
    """An npz of a graph whose classes have means and whose edges mostly stay within a class."""
    rng = np.random.default_rng(0)
    y = rng.integers(CLASSES, size=n)
    order = np.argsort(y, kind="stable")
    bounds = np.searchsorted(y[order], np.arange(CLASSES + 1))
    x = rng.standard_normal((n, FEATURES), dtype=np.float32)
    x *= 3
    x += (APART * rng.normal(size=(CLASSES, FEATURES))).astype(np.float32)[y]
    first = rng.integers(n, size=10 * n)
    target = np.where(rng.random(10 * n) < HOMOPHILY, y[first], rng.integers(CLASSES, size=10 * n))
    second = order[bounds[target] + (rng.random(10 * n) * (bounds[target + 1] - bounds[target])).astype(np.int64)]
    np.savez(file, x=x, edge_index=np.stack([first, second]), y=y)


def timed(work: Any) -> tuple[Any, float]:
    """What comes of some work, and its seconds."""
    started = time.perf_counter()
    return work(), round(time.perf_counter() - started, 1)


def peak_mb() -> int:
    """The peak of resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
