"""Held-out nodes of the original graph, with as much of the graph around them as predicting them takes.

Whatever a learner was trained on, it predicts on the ORIGINAL graph: all of it where the setting is transductive, the
subgraph of the held-out part where it is inductive. Where the graph is large it is cut to the nodes within
`hops` edges of those that are predicted. That changes no prediction of a network that looks no further: Â keeps the
degrees of the whole graph, and rows that would be incomplete are looked at by no layer that counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from worker.kinds.graph.dataset import Graph
from worker.kinds.graph.features import Features, rows_of
from worker.kinds.graph.propagation import Operator

HOPS = 2
CUT_ABOVE = 5_000  # nodes; smaller graphs are predicted whole


@dataclass(frozen=True)
class Held:
    """`x`: float32 (N', d). `operator`: Â (N', N') float32. `nodes`: int64 (m,), the rows that are predicted, and `y`
    their classes. `ids`: int64 (m,), their numbers in the whole graph. `cached`: what networks compute of it once."""

    x: Features
    operator: Operator
    nodes: np.ndarray
    y: np.ndarray
    ids: np.ndarray
    cached: dict[Any, Any] = field(default_factory=dict[Any, Any], compare=False, repr=False)

    def __len__(self) -> int:
        return len(self.nodes)


def held_out(graph: Graph, part: int, most: int = 0, seed: int = 0, hops: int = HOPS) -> Held:
    """The nodes of a part whose class is known; `most` of them at random, all for 0.

    `hops`: how many edges away networks look that predict them; a graph that is cut for fewer misleads them.
    """
    seen, rows = graph.part(part)
    numbers = graph.nodes(part)
    known = seen.y[rows] >= 0
    rows, numbers = rows[known], numbers[known]
    if most and len(rows) > most:
        drawn = np.sort(np.random.default_rng([seed, part, 3]).choice(len(rows), most, replace=False))
        rows, numbers = rows[drawn], numbers[drawn]
    y = seen.y[rows]
    if seen.n <= CUT_ABOVE:
        return Held(seen.x, seen.operator, rows, y, numbers)
    return _cut(seen, rows, y, numbers, hops)


def _cut(graph: Graph, rows: np.ndarray, y: np.ndarray, numbers: np.ndarray, hops: int) -> Held:
    operator = graph.operator
    inner = rows
    for _ in range(hops - 1):
        inner = np.unique(operator[inner].indices)
    outer = np.unique(operator[inner].indices)
    place = np.full(graph.n, -1, np.int64)
    place[outer] = np.arange(len(outer))
    part = operator[outer]
    complete = np.zeros(len(outer), bool)
    complete[place[inner]] = True
    owner = np.repeat(np.arange(len(outer)), np.diff(part.indptr))
    kept = complete[owner] | (part.indices == outer[owner])  # the diagonal tells networks the degrees
    cut = Operator((part.data[kept], (owner[kept], place[part.indices[kept]])), shape=(len(outer), len(outer)))
    return Held(rows_of(graph.x, outer), cut, place[rows], y, numbers)
