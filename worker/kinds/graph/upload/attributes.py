"""Nodes with attributes and edges between ids, as GraphML and node-link JSON hold them, as arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from worker.contract.errors import JobError
from worker.kinds.graph.upload.raw import RawGraph

LABELS, SPLITS, LISTS = ("label", "y", "class"), ("split", "part"), ("features", "x", "feat")
IGNORED = {"id", "name", "key"}
PART_NAMES = {
    "train": "train", "training": "train", "tr": "train", "validation": "validation", "valid": "validation",
    "val": "validation", "va": "validation", "dev": "validation", "test": "test", "te": "test", "testing": "test",
}  # fmt: skip


@dataclass
class Attributed:
    """`nodes`: attributes by id, in order; `edges`: (source, target, weight or None)."""

    nodes: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    edges: list[tuple[str, str, Any]] = field(default_factory=list[tuple[str, str, Any]])

    def add_node(self, name: str, attributes: Mapping[str, Any]) -> None:
        """A node; refuses an id that was given before."""
        if name in self.nodes:
            raise _bad(f"The node {name[:80]!r} is given twice.", "Give each node an id of its own.")
        self.nodes[name] = attributes

    def raw(self, layout: str, file: str) -> RawGraph:
        """The arrays. Numeric attributes are features, in the order in which they first occur."""
        if not self.nodes:
            raise _bad(f"{file} has no nodes.", "Write every node with its label and features.")
        names = list(self.nodes)
        number = {name: place for place, name in enumerate(names)}
        rows = list(self.nodes.values())
        given = [weight is not None for _, _, weight in self.edges]
        weights = None
        if any(given):
            if not all(given):
                raise _bad("Some edges have a weight and others have none.", "Give all edges a weight, or none.")
            weights = np.array([_number(weight, "a weight") for _, _, weight in self.edges])
        ids = np.array(names)
        return RawGraph(
            n=len(names),
            edges=_edges(self.edges, number),
            x=_features(rows, file),
            labels=labels([_first(row, LABELS) for row in rows]),
            weights=weights,
            parts=parts([_first(row, SPLITS) for row in rows]),
            ids=None if names == [str(place) for place in range(len(names))] else ids,
            layout=layout,
            files=(file,),
        )


def _bad(detail: str, hint: str) -> JobError:
    return JobError("invalid_input", detail, hint=hint, pointer="/files")


def _edges(edges: Sequence[tuple[str, str, Any]], number: Mapping[str, int]) -> np.ndarray:
    for source, target, _ in edges:
        for end in (source, target):
            if end not in number:
                raise _bad(
                    f"An edge names the node {end[:80]!r}, which there is not.", "Add the node or drop the edge."
                )
    found = np.array([(number[a], number[b]) for a, b, _ in edges], dtype=np.int64)
    return found.reshape(-1, 2).T


def _first(row: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((row[name] for name in names if name in row), None)


def _number(value: Any, what: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as broken:
        raise _bad(f"{what} is {str(value)[:40]!r}, which is no number.", "Write numbers.") from broken


def _features(rows: Sequence[Mapping[str, Any]], file: str) -> np.ndarray | None:
    lists = [_first(row, LISTS) for row in rows]
    if any(isinstance(one, list) for one in lists):
        lengths = {len(one) if isinstance(one, list) else 0 for one in lists}
        if len(lengths) != 1:
            raise _bad(f"The lists of features in {file} differ in length.", "Give every node as many features.")
        return np.array([[_number(v, "a feature") for v in one] for one in lists])
    taken = {*LABELS, *SPLITS, *IGNORED}
    columns = dict.fromkeys(key for row in rows for key, value in row.items() if key not in taken and numeric(value))
    if not columns:
        return None
    return np.array([[_number(row.get(key, math.nan), f"The feature {key}") for key in columns] for row in rows])


def numeric(value: Any) -> bool:
    """Whether a value is a number; truth values count as 0 and 1."""
    return isinstance(value, int | float)


def labels(values: Sequence[Any]) -> np.ndarray | None:
    """Whole numbers where all are, else text; None where no node has one. Missing: -1 or ""."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    if any(isinstance(value, list) for value in known):
        raise JobError(
            "unsupported",
            "A node has several labels, which are not learned here.",
            hint="Give each node one class.",
            pointer="/files",
        )
    if all(isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**62 for value in known):
        return np.array([-1 if value is None else value for value in values], dtype=np.int64)
    if all(isinstance(value, float) for value in known):
        return np.array([math.nan if value is None else value for value in values])
    return np.array(["" if value is None else str(value) for value in values])


def parts(values: Sequence[Any]) -> dict[str, np.ndarray] | None:
    """Node numbers by part; None where no node names one."""
    found: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for node, value in enumerate(values):
        word = "" if value is None else str(value).strip().lower()
        if word in ("", "none", "unlabeled", "unlabelled"):
            continue
        if word not in PART_NAMES:
            raise _bad(f"The split of a node is {str(value)[:40]!r}.", "Say train, validation or test, or nothing.")
        found[PART_NAMES[word]].append(node)
    if not any(found.values()):
        return None
    return {part: np.array(nodes, dtype=np.int64) for part, nodes in found.items()}
