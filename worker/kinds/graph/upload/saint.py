"""The layout of GraphSAINT (arXiv:1907.04931): `adj_full.npz`, `feats.npy`, `class_map.json`, `role.json`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from worker.contract.errors import JobError
from worker.ingest.formats.npz import archive_of
from worker.ingest.limits import Meter
from worker.ingest.sources import Source
from worker.kinds.graph.upload.archives import coo_edges, csr, npy
from worker.kinds.graph.upload.json_text import parsed
from worker.kinds.graph.upload.raw import RawGraph

ROLES = {"tr": "train", "va": "validation", "te": "test"}
_FILES = ("adj_full.npz", "feats.npy", "class_map.json", "role.json")


def recognises(sources: Sequence[Source]) -> bool:
    """Whether there are the adjacency and one of the other files."""
    names = {PurePosixPath(source.name).name for source in sources}
    return "adj_full.npz" in names and bool(names & set(_FILES[1:]))


def read(sources: Sequence[Source], options: Any, meter: Meter) -> RawGraph:
    """The graph of such files."""
    files = {PurePosixPath(source.name).name: source for source in sources}
    missing = [name for name in _FILES if name not in files]
    if missing:
        raise JobError(
            "invalid_input",
            f"The upload looks like GraphSAINT's, but {', '.join(missing)} is missing.",
            hint=f"Upload {', '.join(_FILES)} together.",
            pointer="/files",
        )
    with archive_of(files["adj_full.npz"], meter) as archive:
        adjacency = csr(archive, "", meter, "adj_full.npz")
    edges, _ = coo_edges(adjacency)
    return RawGraph(
        n=adjacency.shape[0],
        edges=edges,
        x=npy(files["feats.npy"], meter),
        labels=_labels(parsed(files["class_map.json"], meter), adjacency.shape[0]),
        parts=_parts(parsed(files["role.json"], meter)),
        layout="graphsaint",
        files=tuple(source.name for source in sources),
    )


def _labels(classes: Any, n: int) -> np.ndarray:
    """Labels (n,), or (n, C) where they are lists; a list with a single 1 is a class."""
    bad = JobError(
        "invalid_input",
        "class_map.json is not an object from numbers of nodes to classes.",
        hint='Write {"0": 3, "1": 0, ...}: the number of each node and its class.',
        pointer="/files",
    )
    if not isinstance(classes, dict) or not classes:
        raise bad
    lists = [value for value in classes.values() if isinstance(value, list)]
    try:
        nodes = np.array([int(key) for key in classes], dtype=np.int64)
        values = np.array(list(classes.values()), dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as broken:
        raise bad from broken
    if nodes.min() < 0 or nodes.max() >= n or values.ndim > 2:
        raise bad
    if lists and values.ndim == 2 and bool(((values == 0) | (values == 1)).all()) and bool((values.sum(1) == 1).all()):
        values = values.argmax(axis=1).astype(np.float64)
    found = np.full((n, *values.shape[1:]), -1.0)
    found[nodes] = values
    return found


def _parts(roles: Any) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    for role, part in ROLES.items():
        nodes = roles.get(role, []) if isinstance(roles, dict) else None
        if not isinstance(nodes, list) or not all(type(node) is int and abs(node) < 2**62 for node in nodes):
            raise JobError(
                "invalid_input",
                "role.json is not an object of the lists tr, va and te of numbers of nodes.",
                hint='Write {"tr": [0, 1], "va": [2], "te": [3]}.',
                pointer="/files",
            )
        found[part] = np.array(nodes, dtype=np.int64)
    return found
