"""From a graph as uploaded to one that every method can trust: all checks, each with a refusal that names its cure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import sparse

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.graph.dataset import NONE, PARTS, TRAIN, symmetric
from worker.kinds.graph.features import Features, compact
from worker.kinds.graph.upload.raw import RawGraph

MOST_CLASSES = 10_000
LARGEST = 1e15  # of a feature: distances are sums of squares in float32, which ends at 3e38


def refuse(detail: str, hint: str, pointer: str = "/files") -> JobError:
    """The refusal of an upload."""
    return JobError("invalid_input", detail, hint=hint, pointer=pointer)


def sized(raw: RawGraph) -> None:
    """There are nodes, and everything that is said of nodes is said of as many."""
    if raw.n < 1:
        raise refuse("The upload has no nodes.", "Upload a graph with at least one node of each class.")
    if raw.x is not None and (len(raw.x.shape) != 2 or raw.x.shape[0] != raw.n):
        raise refuse(
            f"The features have the shape {tuple(raw.x.shape)}; there must be one row for each of the {raw.n} nodes.",
            "Save one row of features for each node, in the order of the nodes.",
        )
    if raw.labels is not None and raw.labels.ndim >= 1 and len(raw.labels) != raw.n:
        raise refuse(
            f"There are {len(raw.labels)} labels for {raw.n} nodes.",
            "Save one label for each node, -1 where it is unknown.",
        )


def edges_of(raw: RawGraph, make_undirected: bool, ctx: Context) -> sparse.csr_array:
    """The adjacency: undirected, each edge once, no self-loops, weights above 0."""
    edges = raw.edges
    if edges.dtype.kind == "f" and bool((edges == np.floor(edges)).all()):
        edges = edges.astype(np.int64) if bool((np.abs(edges) < 2**53).all()) else edges
    if edges.dtype.kind not in "iu":
        raise refuse(
            f"Node numbers of edges are {edges.dtype}, not whole numbers.",
            "Number the nodes from 0 and save edge_index as int64; with ids of other sorts, upload nodes and edges as "
            "tables.",
        )
    if edges.size and int(edges.min()) < 0:
        raise refuse(f"An edge names the node {int(edges.min())}.", "Number the nodes from 0.")
    if edges.size and int(edges.max()) >= raw.n:
        raise refuse(
            f"An edge names the node {int(edges.max())}, but there are only {raw.n} nodes (0 to {raw.n - 1}).",
            "Number the nodes from 0 in the order of their features; leave out edges to others.",
        )
    weights = _weights(raw, edges.shape[1])
    edges = edges.astype(np.int64)
    loops = edges[0] == edges[1]
    if loops.any():
        ctx.warn(f"{int(loops.sum()):,} self-loops were left out: networks add one to every node themselves.")
        edges, weights = edges[:, ~loops], None if weights is None else weights[~loops]
    low, high = np.minimum(edges[0], edges[1]), np.maximum(edges[0], edges[1])
    if not make_undirected:
        _need_symmetric(edges, raw.n)
    key = low * raw.n + high
    key, place, count = np.unique(key, return_inverse=True, return_counts=True)
    if weights is not None:
        weights = (np.bincount(place, weights=weights, minlength=len(key)) / count).astype(np.float32)
    both = np.unique(edges[0] * raw.n + edges[1]).size
    repeated = edges.shape[1] - both
    if repeated:
        mean = ", with the mean of their weights" if weights is not None else ""
        ctx.warn(f"{repeated:,} edges were given more than once and kept once{mean}.")
    if both < 2 * len(key) and both > len(key):
        ctx.warn(f"{2 * len(key) - both:,} of {len(key):,} edges were given in one direction and now count in both.")
    return symmetric(np.stack([key // raw.n, key % raw.n]), raw.n, weights)


def _need_symmetric(edges: np.ndarray, n: int) -> None:
    there, back = np.unique(edges[0] * n + edges[1]), np.unique(edges[1] * n + edges[0])
    missing = int(np.setdiff1d(there, back).size)
    if missing:
        raise refuse(
            f"{missing:,} edges have no counterpart in the other direction, and every method here takes an undirected "
            "graph.",
            "Say make_undirected=true, or upload both directions of every edge.",
            "/options/make_undirected",
        )


def _weights(raw: RawGraph, count: int) -> np.ndarray | None:
    if raw.weights is None:
        return None
    weights = raw.weights.reshape(len(raw.weights), -1) if raw.weights.ndim else raw.weights
    if weights.dtype.kind not in "iufb" or weights.ndim != 2 or weights.shape != (count, 1):
        raise refuse(
            f"The weights of edges have the shape {raw.weights.shape} and the type {raw.weights.dtype}; there are "
            f"{count} edges.",
            "Save one number above 0 for each edge, or none at all.",
        )
    flat = weights[:, 0].astype(np.float64)
    if not np.isfinite(flat).all() or (flat.size and flat.min() <= 0) or (flat.size and flat.max() > 3e38):
        raise refuse("A weight of an edge is not a number above 0.", "Leave out edges without weight.")
    return flat


def features_of(raw: RawGraph) -> Features | None:
    """The features as float32, finite; None where there are none."""
    if raw.x is None:
        return None
    values = raw.x.data if sparse.issparse(raw.x) else raw.x
    if values.dtype.kind not in "iufb":
        raise refuse(
            f"The features are {values.dtype}, not numbers.",
            "Encode categories as columns of 0 and 1 before uploading.",
        )
    with np.errstate(over="ignore"):
        x = compact(raw.x)
    values = x.data if sparse.issparse(x) else x
    bad = ~np.isfinite(values)
    if bad.any():
        raise refuse(
            f"{int(bad.sum()):,} features are not finite numbers (NaN, infinite, or above what 32 bits hold).",
            "Fill or drop them: `numpy.nan_to_num(x)`.",
        )
    largest = float(abs(x).max()) if min(x.shape) else 0.0
    if largest > LARGEST:
        raise refuse(
            f"A feature is {largest:.3g}; squares of numbers above {LARGEST:.0e} are not held in 32 bits.",
            "Divide that feature by its largest value before uploading.",
        )
    return x


def labels_of(raw: RawGraph, remap: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    """Numbers of classes int64 (n,) with -1 for unknown, and the names of the classes."""
    given = raw.labels
    if given is None:
        raise refuse("The upload has no labels.", "Add y: the class of every node, -1 where it is unknown.")
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.ndim != 1:
        raise JobError(
            "unsupported",
            f"The labels have the shape {given.shape}: several labels a node are not learned here.",
            hint="Give each node one class: for one label out of several, `y=labels.argmax(1)`.",
            pointer="/files",
        )
    if given.dtype.kind == "S":
        try:
            given = np.char.decode(given, "utf-8")
        except UnicodeDecodeError as broken:
            raise refuse("The labels are bytes and no text in UTF-8.", "Save them as text.") from broken
    if given.dtype.kind == "U":
        return _named(given)
    if given.dtype.kind == "f":
        known = given[~np.isnan(given)]
        if known.size and not (np.isfinite(known).all() and bool((known == np.floor(known)).all())):
            raise JobError(
                "unsupported",
                "The labels are fractions: predicting numbers is not learned here, only classes.",
                hint="Give each node a class, for instance the quantile its number lies in.",
                pointer="/files",
            )
        given = np.where(np.isnan(given), -1, given)
    if given.dtype.kind not in "iubf":
        raise refuse(f"The labels are {given.dtype}.", "Save whole numbers from 0, -1 where a label is unknown.")
    if given.dtype.kind in "uf" and given.size and not -(2**63) <= given.min() <= given.max() < 2**63:
        raise refuse(f"The labels reach {given.max():.4g}.", "Save whole numbers from 0, -1 where a label is unknown.")
    given = given.astype(np.int64)
    return _numbered(given, remap)


def _named(given: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    names, numbers = np.unique(given, return_inverse=True)
    unknown = names == ""
    order = np.cumsum(~unknown) - 1
    order[unknown] = -1
    kept = tuple(names[~unknown].tolist())
    _need_classes(len(kept))
    return order[numbers].astype(np.int64), kept


def _numbered(given: np.ndarray, remap: bool) -> tuple[np.ndarray, tuple[str, ...]]:
    known = np.unique(given[given >= 0])
    _need_classes(len(known))
    if not remap and (given.min(initial=0) < -1 or not np.array_equal(known, np.arange(len(known)))):
        shown = ", ".join(map(str, np.unique(given)[:10].tolist()))
        raise refuse(
            f"The labels are not 0 to C - 1 with -1 for unknown; they are such as {shown}.",
            "Say remap_labels=true to number them anew in rising order (anything below 0 is unknown).",
            "/options/remap_labels",
        )
    place = np.searchsorted(known, given)
    return np.where(given < 0, -1, place).astype(np.int64), tuple(map(str, known.tolist()))


def _need_classes(count: int) -> None:
    if count < 2:
        raise refuse(f"There is {count or 'no'} class among the labels.", "Upload labels of at least two classes.")
    if count > MOST_CLASSES:
        raise refuse(
            f"There are {count:,} classes; at most {MOST_CLASSES:,} are learned.",
            "Are the labels perhaps ids of nodes?",
        )


def split_of(parts: Mapping[str, np.ndarray], y: np.ndarray, n: int, ctx: Context) -> np.ndarray:
    """The split int8 (n,) of given parts: disjoint, in range, and every node of it with a label."""
    split = np.full(n, NONE, np.int8)
    for name, nodes in parts.items():
        if nodes.size and (int(nodes.min()) < 0 or int(nodes.max()) >= n):
            wrong = int(nodes.min()) if int(nodes.min()) < 0 else int(nodes.max())
            raise refuse(f"The {name} part names the node {wrong}; there are {n}.", "Number the nodes from 0.")
        taken = split[nodes] != NONE
        if taken.any():
            raise refuse(
                f"{int(taken.sum())} nodes of the {name} part are in another part, too, such as node "
                f"{int(nodes[taken][0])}.",
                "Make the parts disjoint, or say split=random.",
                "/options/split",
            )
        split[nodes] = PARTS[name]
    unknown = (split != NONE) & (y < 0)
    if unknown.any():
        raise refuse(
            f"{int(unknown.sum())} nodes of the split have no label, such as node {int(np.argmax(unknown))}.",
            "Leave nodes without a label out of train, validation and test.",
        )
    return split


def need_trainable(split: np.ndarray, y: np.ndarray, classes: tuple[str, ...], ctx: Context) -> None:
    """Every class has a train node; empty validation and test parts are warned of."""
    train = split == TRAIN
    if not train.any():
        raise refuse("The train part is empty.", "Name train nodes, or say split=random.", "/options/split")
    counts = np.bincount(y[train], minlength=len(classes))
    absent = [name for name, count in zip(classes, counts.tolist(), strict=True) if not count]
    if absent:
        raise refuse(
            f"No train node has the class {', '.join(absent[:10])}.",
            "Add a train node of each class, drop the class, or say split=random.",
            "/options/split",
        )
    if not (split == PARTS["validation"]).any():
        ctx.warn("The validation part is empty: no epoch or setting can be chosen, see early_choice.")
    if not (split == PARTS["test"]).any():
        ctx.warn("The test part is empty: summaries of this graph cannot be measured.")
