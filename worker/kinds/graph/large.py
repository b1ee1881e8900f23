"""What stands for a graph that is too large to train on: a part of it, drawn so that its nodes keep neighbours.

A training sees every node, edge and feature at each of hundreds of epochs, so on millions of edges the reference alone
would take all the time that a report has. Where a graph is above `NODES`, `EDGES` or `ENTRIES`, networks are trained on
`PART` of its nodes: train nodes drawn at random, up to `FANOUT` neighbours of each (arXiv:1706.02216, section 3.1), and
neighbours of these. All train nodes of the part are learned from. A reference that saw less can be worse than the whole
would be, so whoever shows its figures says so (`said`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse

from worker.kinds.graph.dataset import TEST, VALIDATION, Graph
from worker.kinds.graph.held import Held, held_out
from worker.kinds.graph.training_graph import TrainingGraph

NODES, EDGES, ENTRIES = 100_000, 2_000_000, 100_000_000
PART, SEEDS, FANOUT = 30_000, 0.1, 10
HELD = 1_000  # held-out nodes that are predicted where a number is not given


def is_large(graph: Graph) -> bool:
    """Whether networks are trained on a part of what may be looked at, (nodes, edges and features counted)."""
    filled = graph.x.nnz if sparse.issparse(graph.x) else graph.n * graph.d
    return graph.n > NODES or graph.edges > EDGES or filled > ENTRIES


def trained_on(data: Graph, seed: int) -> TrainingGraph:
    """What stands for the whole graph in a training: all that may be looked at, or a part of it where it is large."""
    seen = data.visible()
    if not is_large(seen):
        return TrainingGraph.of(data)
    return TrainingGraph.of(replace(seen.induced(part_of(seen, seed)), setting="transductive"))


def part_of(seen: Graph, seed: int, most: int = 0) -> np.ndarray:
    """Numbers of `most` nodes (0: `PART`, fewer where rows are long), rising, int64; a train node of each class is
    among them."""
    most = min(seen.n, most or max(1_000, min(PART, ENTRIES * PART // (NODES * max(1, seen.d)))))
    rng = np.random.default_rng([seed, 31])
    order = rng.permutation(seen.train)
    firsts = order[np.unique(seen.y[order], return_index=True)[1]]
    layer = np.unique(np.concatenate([firsts, order[: max(1, int(SEEDS * most))]]))
    chosen = np.zeros(seen.n, bool)
    chosen[layer] = True
    room = most - len(layer)
    while room > 0:
        found = _neighbours(seen.adjacency, layer, rng)
        found = found[~chosen[found]]
        if not len(found):  # nothing hangs together any more: go on from train nodes, then from anything
            left = seen.train[~chosen[seen.train]]
            found = left if len(left) else np.flatnonzero(~chosen)
            found = rng.permutation(found)[: max(1, int(SEEDS * most))]
        layer = rng.permutation(found)[:room]
        chosen[layer] = True
        room -= len(layer)
    return np.flatnonzero(chosen)


def _neighbours(adjacency: sparse.csr_array, nodes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Up to `FANOUT` neighbours of each node, drawn at random, each once."""
    rows = adjacency[nodes]
    owner = np.repeat(np.arange(len(nodes)), np.diff(rows.indptr))
    order = np.lexsort((rng.random(rows.nnz), owner))
    rank = np.arange(rows.nnz) - np.repeat(rows.indptr[:-1], np.diff(rows.indptr))
    return np.unique(rows.indices[order[rank < FANOUT]]).astype(np.int64)


def held(data: Graph, part: int, asked: int, seed: int, hops: int = 2) -> Held:
    """Held-out nodes: `asked`, for 0 all, or `HELD` of a large graph, whose neighbourhoods would be all of it."""
    return held_out(data, part, asked or (HELD if is_large(data) else 0), seed, hops)


def label(data: Graph, trained: TrainingGraph) -> str:
    """What the reference of a report is called."""
    total = _visible_nodes(data)
    return "the whole graph" if len(trained) == total else f"a part of the whole graph ({len(trained):,} nodes)"


def said(data: Graph, trained: TrainingGraph, tuned: int, tested: int) -> list[str]:
    """The warnings of a report on a large graph; none for others. `tuned`, `tested`: held-out nodes that are seen."""
    total, found = _visible_nodes(data), []
    if len(trained) < total:
        found.append(
            f"The graph is too large to train on whole: what stands for it is a part of {len(trained):,} of {total:,} "
            f"nodes, with {len(trained.labelled):,} of {len(data.train):,} train nodes. The whole may be better than "
            "that, so the share of it that a summary keeps may be smaller than the one given here."
        )
    if is_large(data):
        found.append(
            f"The graph is large: epochs were chosen on {tuned:,} of {len(data.nodes(VALIDATION)):,} validation nodes, "
            f"and figures are of {tested:,} of {len(data.nodes(TEST)):,} test nodes; `tune_nodes` and `test_nodes` set "
            "other numbers."
        )
    return found


def _visible_nodes(data: Graph) -> int:
    return len(data.train) if data.setting == "inductive" else data.n
