"""npz archives: our own bundle, and the layout of "gnn-benchmark" (Shchur et al. 2018).

The bundle: `x`, or `x_data, x_indices, x_indptr, x_shape`; `edge_index` (2, E), optionally `edge_weight` (E,); `y`; and
`train_idx, val_idx, test_idx` or `train_mask, val_mask, test_mask`. gnn-benchmark: `adj_data, adj_indices, adj_indptr,
adj_shape`, the same with `attr_`, and `labels`; it has no split.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np

from worker.contract.errors import JobError
from worker.ingest.formats.npz import archive_of
from worker.ingest.limits import Meter
from worker.ingest.sources import Source
from worker.kinds.graph.upload.archives import coo_edges, csr, names_in, whole
from worker.kinds.graph.upload.raw import RawGraph

EXAMPLE = (
    "numpy.savez('graph.npz', x=x, edge_index=edge_index, y=y, train_idx=train, val_idx=validation, test_idx=test)"
)
_PARTS = {
    "train": ("train_idx", "train_mask"),
    "validation": ("val_idx", "val_mask", "valid_idx", "valid_mask"),
    "test": ("test_idx", "test_mask"),
}


def recognises(sources: Sequence[Source]) -> bool:
    """Whether there is one npz."""
    return len(_archives(sources)) == 1


def _archives(sources: Sequence[Source]) -> list[Source]:
    return [source for source in sources if source.name.lower().endswith(".npz")]


def read(sources: Sequence[Source], options: Any, meter: Meter) -> RawGraph:
    """The graph of an npz. Raises `JobError` that names what is missing."""
    source = _archives(sources)[0]
    with archive_of(source, meter) as archive:
        names = names_in(archive)
        if {"adj_data", "adj_indices", "adj_indptr", "adj_shape"} <= set(names):
            return _gnn_benchmark(source, archive, names, meter)
        if "edge_index" not in names:
            hetero = any(name.startswith(("edge_index_", "edge_index/")) or "edge_type" in name for name in names)
            raise JobError(
                "unsupported" if hetero else "invalid_input",
                f"{source.name} holds a heterogeneous graph, which is not read here."
                if hetero
                else f"{source.name} has no array edge_index; it holds {', '.join(names[:20]) or 'nothing'}.",
                hint="Upload a graph with nodes and edges of one sort." if hetero else f"Save it as `{EXAMPLE}`.",
                pointer="/files",
            )
        if "edge_type" in names:
            raise JobError(
                "unsupported",
                f"{source.name} has edges of several types (edge_type), which are not read here.",
                hint="Keep the edges of one type, and leave edge_type out.",
                pointer="/files",
            )
        return _bundle(source, archive, names, meter)


def _bundle(source: Source, archive: zipfile.ZipFile, names: list[str], meter: Meter) -> RawGraph:
    edges = whole(archive, "edge_index", meter)
    if edges.ndim != 2 or edges.shape[0] != 2:
        raise JobError(
            "invalid_input",
            f"edge_index has the shape {edges.shape}; it must be (2, E), sources above targets.",
            hint="Transpose it: `edge_index=edges.T` for edges of shape (E, 2).",
            pointer="/files",
        )
    x = None
    if "x" in names:
        x = whole(archive, "x", meter)
    elif "x_data" in names:
        x = csr(archive, "x_", meter, "x")
    labels = whole(archive, "y", meter) if "y" in names else None
    weights = next((whole(archive, name, meter) for name in ("edge_weight", "edge_attr") if name in names), None)
    n = x.shape[0] if x is not None else 0 if labels is None else len(labels) if labels.ndim else 0
    if not n and edges.size and edges.dtype.kind in "iu":
        n = int(edges.max()) + 1
    return RawGraph(
        n=n,
        edges=edges,
        x=x,
        labels=labels,
        weights=weights,
        parts=_parts(archive, names, n, meter),
        layout="npz",
        files=(source.name,),
    )


def _parts(archive: zipfile.ZipFile, names: list[str], n: int, meter: Meter) -> dict[str, np.ndarray] | None:
    found: dict[str, np.ndarray] = {}
    for part, known in _PARTS.items():
        name = next((name for name in known if name in names), None)
        if name is None:
            continue
        given = whole(archive, name, meter)
        found[part] = numbers(given, name, n)
    return found or None


def numbers(given: np.ndarray, name: str, n: int) -> np.ndarray:
    """Numbers of nodes from numbers or from a mask. Raises `JobError` for anything else."""
    if given.ndim == 2 and 1 < given.shape[1] <= 100 and given.dtype.kind == "b":
        raise JobError(
            "invalid_input",
            f"{name} holds {given.shape[1]} splits; one is taken.",
            hint=f"Keep one column: `{name}={name}[:, 0]`.",
            pointer="/files",
        )
    if given.dtype.kind == "b":
        if given.shape != (n,):
            raise JobError(
                "invalid_input",
                f"{name} has the shape {given.shape}; a mask has one entry for each of the {n} nodes.",
                hint="Save one boolean for each node.",
                pointer="/files",
            )
        return np.flatnonzero(given)
    if given.dtype.kind not in "iu" or given.ndim != 1:
        raise JobError(
            "invalid_input",
            f"{name} holds {given.dtype} of shape {given.shape}; it must be whole numbers of nodes, or a boolean mask.",
            hint=f"Save `{name}=numpy.flatnonzero(mask)`.",
            pointer="/files",
        )
    return given.astype(np.int64)


def _gnn_benchmark(source: Source, archive: zipfile.ZipFile, names: list[str], meter: Meter) -> RawGraph:
    adjacency = csr(archive, "adj_", meter, "the adjacency (adj_*)")
    if adjacency.shape[0] != adjacency.shape[1]:
        raise JobError(
            "invalid_input", f"The adjacency has the shape {adjacency.shape}; it must be square.", pointer="/files"
        )
    edges, values = coo_edges(adjacency)
    x = None
    if "attr_data" in names:
        x = csr(archive, "attr_", meter, "the features (attr_*)")
    elif "attr_matrix" in names:
        x = whole(archive, "attr_matrix", meter)
    labels = whole(archive, "labels", meter) if "labels" in names else None
    weighted = bool(len(values)) and not bool((values == values[0]).all())
    return RawGraph(
        n=adjacency.shape[0],
        edges=edges,
        x=x,
        labels=labels,
        weights=values if weighted else None,
        layout="gnn-benchmark",
        files=(source.name,),
    )
