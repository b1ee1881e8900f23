"""The accuracy of a network trained on a candidate, on validation nodes of the original graph.

A GCN of 256 hidden units is trained for `EPOCHS` epochs on the candidate, `SEEDS` times; the mean of their accuracies
decides which candidate is delivered. Test nodes are never looked at.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from worker.contract.context import Context
from worker.evidence.distilling import Validate
from worker.kinds.graph.condensation.candidate import Candidate
from worker.kinds.graph.dataset import VALIDATION, Graph
from worker.kinds.graph.held import held_out
from worker.kinds.graph.networks.fitting import Schedule, fit, seeded
from worker.kinds.graph.networks.gcn import GCN
from worker.kinds.graph.training_graph import TrainingGraph
from worker.numerics.seeds import mix

EPOCHS, SEEDS = 90, 2
MOST = 2000  # validation nodes


def training_graph(candidate: Candidate, classes: int) -> TrainingGraph:
    """A candidate as learners take it."""
    nodes = np.arange(len(candidate.x))
    adjacency = edges_of(candidate)
    x = candidate.x.detach().cpu().numpy()
    if candidate.soft is not None:
        return TrainingGraph(x, adjacency, nodes, classes, soft=candidate.soft.detach().cpu().numpy())
    return TrainingGraph(x, adjacency, nodes, classes, y=candidate.y.cpu().numpy())


def edges_of(candidate: Candidate) -> sparse.csr_array | None:
    """Its edges, float32 CSR; None where there are none."""
    if candidate.adjacency is None:
        return None
    found = sparse.csr_array(candidate.adjacency.detach().cpu().numpy().astype(np.float32))
    return found if found.nnz else None


def validator(graph: Graph, ctx: Context) -> Validate[Candidate] | None:
    """What scores candidates for this graph, the whole one; None when it has no labelled validation node."""
    held = held_out(graph, VALIDATION, MOST, ctx.seed, cut_above=0)
    if not len(held):
        return None

    starts = [mix(ctx.seed, 7, number) for number in range(SEEDS)]  # the same for every candidate

    def accuracy(candidate: Candidate, ctx: Context) -> float:
        given = training_graph(candidate, graph.n_classes)
        right = []
        for number in range(SEEDS):
            with ctx.part(f"seed {number}", number, SEEDS) as part, seeded(starts[number], ctx.device):
                network = GCN(graph.d, graph.n_classes)
                fitted = fit(network, given, Schedule(EPOCHS), held, part)
            right.append(float((fitted.predict(held) == held.y).mean()))
        return float(np.mean(right))

    return accuracy
