"""An attributed graph whose nodes carry labels: in memory, and as canonical files.

Canonical files of a version: `graph.json` (classes, setting, transform, sizes, ingest options), `edges.npy` int32
(2, E) with every undirected edge once, smaller node first, sorted; `weights.npy` float32 (E,) where edges have weights;
`x.npy` float32 (N, d), or `x_data.npy`, `x_indices.npy`, `x_indptr.npy` where features are sparse; `y.npy` int32 (N,);
`split.npy` int8 (N,); `ids.npy` text (N,) where nodes have ids of their own. Features lie there as uploaded; loading
applies the transform.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import sparse

from worker.contract.errors import JobError
from worker.kinds.graph.features import Features, Transform, rows_of
from worker.kinds.graph.propagation import Operator, normalised

TRAIN, VALIDATION, TEST, NONE = 0, 1, 2, -1
PARTS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
Setting = Literal["transductive", "inductive"]
GRAPH_FILE = "graph.json"


@dataclass(frozen=True)
class Graph:
    """One undirected graph. Node i is row i of everything.

    `x`: float32 (N, d), dense or CSR, transformed. `adjacency`: float32 CSR (N, N), symmetric, no self-loops, values
    above 0. `y`: int64 (N,), numbers into `classes`, -1 unknown. `split`: int8 (N,), TRAIN, VALIDATION, TEST or -1.
    `setting`: what may be looked at, see `visible`. `transform`: what was done to the features. `ids`: text (N,) or
    None where nodes are called by their numbers.
    """

    x: Features
    adjacency: sparse.csr_array
    y: np.ndarray
    split: np.ndarray
    classes: tuple[str, ...]
    setting: Setting = "transductive"
    transform: Transform = field(default_factory=Transform)
    ids: np.ndarray | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def n(self) -> int:
        """Nodes N."""
        return len(self.y)

    @property
    def d(self) -> int:
        """Features d."""
        return int(self.x.shape[1])

    @property
    def n_classes(self) -> int:
        """Classes C."""
        return len(self.classes)

    @property
    def edges(self) -> int:
        """Undirected edges."""
        return int(self.adjacency.nnz) // 2

    def nodes(self, part: int) -> np.ndarray:
        """Numbers of the nodes of a part, rising, int64."""
        return np.flatnonzero(self.split == part)

    @cached_property
    def train(self) -> np.ndarray:
        """Numbers of the train nodes, rising, int64."""
        return self.nodes(TRAIN)

    @cached_property
    def train_counts(self) -> np.ndarray:
        """Train nodes of each class, int64 (C,)."""
        return np.bincount(self.y[self.train], minlength=self.n_classes)

    @cached_property
    def operator(self) -> Operator:
        """Â (N, N) float32."""
        return normalised(self.adjacency)

    def induced(self, nodes: np.ndarray) -> Graph:
        """The graph of some nodes and the edges between them; its node i is `nodes[i]`."""
        return replace(
            self,
            x=rows_of(self.x, nodes),
            adjacency=sparse.csr_array(self.adjacency[nodes][:, nodes]),
            y=self.y[nodes],
            split=self.split[nodes],
            ids=self.names(nodes),
        )

    def visible(self) -> Graph:
        """What a method may look at: all nodes and edges, or with `inductive` those of the train part alone.

        Labels outside the train part are -1: whoever condenses this cannot learn from them.
        """
        seen = self.induced(self.train) if self.setting == "inductive" else self
        return replace(seen, y=np.where(seen.split == TRAIN, seen.y, -1), options=dict(self.options))

    def part(self, part: int) -> tuple[Graph, np.ndarray]:
        """The graph on which nodes of a part are predicted, and the numbers they have in it.

        Transductive: the whole graph. Inductive: the subgraph of the part's nodes.
        """
        nodes = self.nodes(part)
        return (self.induced(nodes), np.arange(len(nodes))) if self.setting == "inductive" else (self, nodes)

    def names(self, nodes: np.ndarray) -> np.ndarray:
        """The ids of some nodes, as text."""
        return nodes.astype(str) if self.ids is None else self.ids[nodes]


def symmetric(edges: np.ndarray, n: int, weights: np.ndarray | None = None) -> sparse.csr_array:
    """Adjacency (n, n) float32 of undirected edges (2, E), each given once, with weights (E,) or 1."""
    values = np.ones(edges.shape[1], np.float32) if weights is None else np.asarray(weights, np.float32)
    half = sparse.coo_array((values, (edges[0], edges[1])), shape=(n, n)).tocsr()
    found = sparse.csr_array(half + half.T, dtype=np.float32)
    found.sort_indices()
    return found


def upper(adjacency: sparse.csr_array) -> tuple[np.ndarray, np.ndarray]:
    """Every undirected edge once: int32 (2, E), smaller node first, sorted, and its weight float32 (E,)."""
    rows = sparse.csr_array(adjacency)
    rows.sort_indices()
    owner = np.repeat(np.arange(rows.shape[0], dtype=np.int32), np.diff(rows.indptr))
    once = rows.indices > owner
    return np.stack([owner[once], rows.indices[once].astype(np.int32)]), rows.data[once].astype(np.float32)


def save(graph: Graph, folder: Path, raw: Features | None = None) -> None:
    """Write the canonical files into an existing folder. `raw`: the features as uploaded; the graph's own are taken
    where they are not transformed."""
    x = graph.x if raw is None else raw
    edges, weights = upper(graph.adjacency)
    np.save(folder / "edges.npy", edges)
    weighted = bool(len(weights)) and not bool((weights == 1).all())
    if weighted:
        np.save(folder / "weights.npy", weights)
    if sparse.issparse(x):
        stored = sparse.csr_array(x)
        stored.sort_indices()
        np.save(folder / "x_data.npy", stored.data.astype(np.float32))
        np.save(folder / "x_indices.npy", stored.indices.astype(np.int32))
        np.save(folder / "x_indptr.npy", stored.indptr.astype(np.int64))
    else:
        np.save(folder / "x.npy", np.ascontiguousarray(x, dtype=np.float32))
    np.save(folder / "y.npy", graph.y.astype(np.int32))
    np.save(folder / "split.npy", graph.split.astype(np.int8))
    if graph.ids is not None:
        np.save(folder / "ids.npy", np.asarray(graph.ids, dtype=str))
    about = {
        "nodes": graph.n,
        "features": graph.d,
        "classes": list(graph.classes),
        "setting": graph.setting,
        "transform": graph.transform.name,
        "sparse": bool(sparse.issparse(x)),
        "weighted": weighted,
        "ids": graph.ids is not None,
        "options": dict(graph.options),
    }
    (folder / GRAPH_FILE).write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load(folder: Path, *, transformed: bool = True) -> Graph:
    """The graph from its canonical files; `transformed=False` leaves features as they were uploaded.

    Raises `JobError` `invalid_input` when the files do not fit together.
    """
    about = json.loads((folder / GRAPH_FILE).read_text(encoding="utf-8"))
    n = int(about["nodes"])
    if about["sparse"]:
        parts = tuple(np.load(folder / f"x_{name}.npy") for name in ("data", "indices", "indptr"))
        x: Features = sparse.csr_array(parts, shape=(n, int(about["features"])))
    else:
        x = np.load(folder / "x.npy")
    edges = np.load(folder / "edges.npy")
    weights = np.load(folder / "weights.npy") if about["weighted"] else None
    y, split = np.load(folder / "y.npy").astype(np.int64), np.load(folder / "split.npy")
    if len(y) != n or len(split) != n or x.shape[0] != n or (edges.size and int(edges.max()) >= n):
        raise JobError("invalid_input", "The files of the version do not fit together.")
    transform = Transform.fitted(about["transform"], x, np.flatnonzero(split == TRAIN))
    return Graph(
        transform(x) if transformed else x,
        symmetric(edges, n, weights),
        y,
        split,
        tuple(about["classes"]),
        about["setting"],
        transform,
        np.load(folder / "ids.npy") if about["ids"] else None,
        about["options"],
    )
