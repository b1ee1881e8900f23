"""Training a GCN on a condensed graph under the protocol of GC4NC, and its accuracy on the original graph."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.shared_data import shared
from worker.contract.context import Context
from worker.kinds.graph import dataset, ingest
from worker.kinds.graph.dataset import TEST, VALIDATION, Graph
from worker.kinds.graph.held import held_out
from worker.kinds.graph.learners.gcn import gcn
from worker.kinds.graph.training_graph import TrainingGraph
from worker.kinds.graph.trials import GC4NC, Bench
from worker.runtime.registry import discover


def real(name: str, tmp_path_factory: pytest.TempPathFactory, **options: Any) -> Graph:
    """A shared graph, ingested."""
    folder = shared(name)
    out: Path = tmp_path_factory.mktemp(name)
    ingest.ingest([(f"{name}.npz", folder / f"{name}.npz")], options, out, Context(), {})
    return dataset.load(out)


def accuracy(graph: Graph, training: TrainingGraph, seed: int = 0, epochs: int = 300) -> float:
    """Test accuracy in percent of one training."""
    validation, test, ctx = held_out(graph, VALIDATION), held_out(graph, TEST), Context(seed=seed)
    model = gcn(training, Bench(validation, "gc4nc", epochs), ctx).fit(GC4NC, ctx)
    return 100 * float((model.predict(test) == test.y).mean())


def made(graph: Graph, method: str, seed: int = 0, **params: Any) -> tuple[Any, float]:
    """What a method makes, and the CPU seconds it takes."""
    known = discover()["graph", method]
    started = time.process_time()
    product = known.run(graph, known.params(**params), Context(seed=seed))
    return product, time.process_time() - started


def mean_accuracy(graph: Graph, method: str, seeds: int = 3, **params: Any) -> tuple[float, float, float]:
    """Mean and deviation of the accuracy over seeds of the method, one training each, and its mean CPU seconds."""
    found, seconds = [], []
    for seed in range(seeds):
        product, spent = made(graph, method, seed, **params)
        found.append(accuracy(graph, product.training(), seed))
        seconds.append(spent)
    print(f"{method} {params}: {np.mean(found):.2f} +- {np.std(found):.2f} {found} in {np.mean(seconds):.2f} s")
    return float(np.mean(found)), float(np.std(found)), float(np.mean(seconds))
