"""What Data-Genie sees of a dataset: its size, and the shape of its graph of users and items.

55 numbers: five counts, and five distributions by their values at ten equally spaced ranks (events of a user, events of
an item, sizes of connected components, pairs within h = 1 ... 10 hops, the 50 largest singular values). They are those
of the official code, but on a logarithmic scale throughout (its counts are divided by a million, its distributions
raw), since a model that has seen thousands of users has to speak of millions. Clustering coefficients are left out:
a bipartite graph has no triangles.

Who is called what changes nothing: nodes are told apart by what is around them alone. O(N) time for N events, and
O(50 N) for the singular values.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.linalg import eigh
from scipy.sparse import csgraph
from scipy.sparse.linalg import ArpackNoConvergence, svds

from worker.kinds.interactions.sampling.order import TrainEvents
from worker.kinds.interactions.sampling.walks import Graph

RANKS, SOURCES, SINGULAR, HOPS = 10, 64, 50, 10
DISTRIBUTIONS = ("user degree", "item degree", "component size", "hop plot", "singular value")
COUNTS = ("users", "items", "train", "validation", "test")
NAMES = (*COUNTS, *(f"{name} {rank}" for name in DISTRIBUTIONS for rank in range(RANKS)))
_DENSE_UP_TO = 600


def features(events: TrainEvents, kept: np.ndarray | None = None, *, validation: int = 0, test: int = 0) -> np.ndarray:
    """Features (55,) float64 of training events, or of those where a mask (N,) is true, in the order of `NAMES`.

    `validation`, `test`: how many events are held out, which sampling does not change.
    """
    rows = events.rows(kept)
    users, items = np.diff(rows.indptr), np.bincount(rows.indices, minlength=events.n_items)
    rows = sparse.csr_array(rows[np.flatnonzero(users)])[:, np.flatnonzero(items)]
    users, items = users[users > 0], items[items > 0]
    graph = _graph(rows, users, items)
    counts = np.array([len(users), len(items), rows.nnz, validation, test], np.float64)
    parts = [
        np.log1p(counts),
        at_ranks(np.log1p(users)),
        at_ranks(np.log1p(items)),
        at_ranks(np.log1p(_component_sizes(rows))),
        np.log1p(hop_plot(graph)),
        at_ranks(np.log1p(singular_values(rows))),
    ]
    return np.concatenate(parts)


def at_ranks(values: np.ndarray, ranks: int = RANKS) -> np.ndarray:
    """Values in rising order at equally spaced ranks, the least and the largest among them (ranks,)."""
    if not len(values):
        return np.zeros(ranks)
    return np.sort(values)[np.rint(np.linspace(0, len(values) - 1, ranks)).astype(np.int64)]


def _graph(rows: sparse.csr_array, users: np.ndarray, items: np.ndarray) -> Graph:
    near = (rows.indices + len(users), sparse.csc_array(rows).indices)
    return Graph(np.concatenate(([0], np.cumsum([*users, *items]))), np.concatenate(near).astype(np.int32))


def _component_sizes(rows: sparse.csr_array) -> np.ndarray:
    """Nodes of each connected component."""
    users, items = rows.shape
    ends = np.concatenate((rows.indptr, np.full(items, rows.indptr[-1], rows.indptr.dtype)))
    square = sparse.csr_array((rows.data, rows.indices + users, ends), shape=(users + items, users + items))
    return np.bincount(csgraph.connected_components(square, directed=False)[1])


def hop_plot(graph: Graph) -> np.ndarray:
    """Mean number of nodes within 1 ... 10 hops (10,) of 64 nodes, themselves included; fewer where there are fewer.

    The nodes stand at equally spaced places when all are ordered by their surroundings (colour refinement), so which
    they are does not depend on anybody's number. All searches run at once, one bit each.
    """
    if not len(graph.degrees):
        return np.zeros(HOPS)
    colours = surroundings(graph)
    order = np.lexsort((colours, graph.degrees))
    sources = order[np.unique(np.rint(np.linspace(0, len(order) - 1, SOURCES)).astype(np.int64))]
    reached = np.zeros(len(order), np.uint64)
    reached[sources] = np.uint64(1) << np.arange(len(sources), dtype=np.uint64)
    found = np.zeros(HOPS)
    for hop in range(HOPS):
        reached |= np.bitwise_or.reduceat(reached[graph.neighbours], graph.ends[:-1])
        found[hop] = np.bitwise_count(reached).sum(dtype=np.int64) / max(1, len(sources))
    return found


def surroundings(graph: Graph, rounds: int = 3) -> np.ndarray:
    """A number for each node (n,) uint64 that its surroundings decide: equal up to `rounds` hops, equal numbers.

    Weisfeiler and Leman's colour refinement with hashes. Every node must have a neighbour.
    """
    colours = _hashed(graph.degrees.astype(np.uint64))
    for _ in range(rounds):
        colours = _hashed(colours * np.uint64(3) + np.add.reduceat(colours[graph.neighbours], graph.ends[:-1]))
    return colours


def _hashed(numbers: np.ndarray) -> np.ndarray:
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


def singular_values(rows: sparse.csr_array, count: int = SINGULAR) -> np.ndarray:
    """The `count` largest singular values of rows (n, I), or all of fewer: the positive half of the spectrum."""
    if min(rows.shape) == 0:
        return np.zeros(1)
    rows = sparse.csr_array(rows, dtype=np.float64)
    if min(rows.shape) <= max(_DENSE_UP_TO, count + 2):
        gram = (rows @ rows.T if rows.shape[0] < rows.shape[1] else rows.T @ rows).toarray()
        first = max(0, len(gram) - count)
        return np.sqrt(np.maximum(0, eigh(gram, eigvals_only=True, subset_by_index=(first, len(gram) - 1))))
    try:
        start = np.ones(min(rows.shape))
        return svds(rows, k=count, v0=start, return_singular_vectors=False, tol=1e-6)
    except ArpackNoConvergence as partial:
        return np.sqrt(np.maximum(0, np.asarray(partial.eigenvalues)))
