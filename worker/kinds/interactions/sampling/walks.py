"""Samplers that explore the graph of users and items: a random walk with restarts, and a forest fire.

Both collect nodes one after the other; an event is in the sample when both of its ends are. Published (Leskovec and
Faloutsos, "Sampling from Large Graphs", KDD 2006, sections 3.3.2 and 3.3.3; settings of arXiv:2201.04768): the walk
returns to its start with probability 0.1; a burning node sets a geometric number of unburnt neighbours on fire, with
probability 0.4, and a fire that dies goes on from 10 of the last 100 nodes it passed by.

Differences from the official code: it collects a share of the *nodes*, ours goes on until the nodes hold the asked
share of *events*. Its walk never leaves a component, and loops for ever in one that is too small; ours goes on from a
node not yet collected once it has found nothing new in `IDLE` steps. To do many steps at once, one walk per 1,000 nodes
walks on its own, and a fire burns in generations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from worker.kinds.interactions.sampling.nodes import of_nodes
from worker.kinds.interactions.sampling.order import Order, TrainEvents

RESTART, IDLE, NODES_PER_WALK = 0.1, 100, 1000  # idle: ten times the mean length of a walk between two restarts
BURN, BACKLOG, HOP = 0.4, 100, 10
_ROUND = 256
_AT_ONCE = 1 << 22  # neighbours looked at together: 100 MB with their lots
Tick = Callable[[float], None]
"""Is told now and then which share of the work is done; may raise."""


@dataclass(frozen=True)
class Graph:
    """Neighbours of node v: `neighbours[ends[v] : ends[v + 1]]`, int32 (2 N,); users come first, items from U on."""

    ends: np.ndarray
    neighbours: np.ndarray

    @classmethod
    def of(cls, events: TrainEvents) -> Graph:
        """The graph with an edge for every event."""
        sizes = np.concatenate((events.per_user, events.per_item))
        ends = np.concatenate(([0], np.cumsum(sizes)))
        shape = (events.n_users, events.n_items)
        rows = sparse.csr_array((np.ones(len(events), np.int8), events.item, ends[: events.n_users + 1]), shape=shape)
        items = events.item + np.int32(events.n_users)
        return cls(ends, np.concatenate((items, rows.tocsc().indices.astype(np.int32))))

    @property
    def degrees(self) -> np.ndarray:
        """Neighbours of each node (U + I,)."""
        return np.diff(self.ends)


class Collected:
    """Nodes in the order in which they were found, until they hold `most` events among them."""

    def __init__(self, events: TrainEvents, nodes: np.ndarray, most: int, tick: Tick) -> None:
        self.found = np.zeros(events.n_users + events.n_items, bool)
        self._events, self._nodes, self._most, self._tick = events, nodes, min(most, len(events)), tick
        self._parts: list[np.ndarray] = []
        self._count = self._looked_at = 0

    def add(self, nodes: np.ndarray) -> np.ndarray:
        """Add those that are new, each once, in their order; returns them."""
        nodes = nodes[~self.found[nodes]]
        if len(nodes) > 1:
            nodes = nodes[np.sort(np.unique(nodes, return_index=True)[1])]
        self.found[nodes] = True
        self._parts.append(nodes)
        self._count += len(nodes)
        return nodes

    def missing(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """At most `count` nodes not found yet, at random."""
        left = self._nodes[~self.found[self._nodes]]
        return left[rng.permutation(len(left))[:count]] if len(left) <= count else rng.choice(left, count)

    def enough(self) -> bool:
        """Whether the events asked for are among the nodes; looked at each time another 2 % of the nodes is found."""
        if self._count < min(len(self._nodes), self._looked_at + len(self._nodes) / 50):
            return False
        self._looked_at = self._count
        events = self._events
        inside = np.count_nonzero(self.found[events.user] & self.found[events.n_users :][events.item])
        self._tick(min(1.0, inside / self._most))
        return inside >= self._most or self._count == len(self._nodes)

    def sequence(self) -> np.ndarray:
        """The nodes in order."""
        return np.concatenate(self._parts)


def random_walk(events: TrainEvents, rng: np.random.Generator, *, most: int, tick: Tick = lambda _: None) -> Order:
    """Nodes as walks with restarts find them; the order holds at least `most` events, the others come after all."""
    graph = Graph.of(events)
    degrees = graph.degrees
    nodes = np.flatnonzero(degrees)
    collected = Collected(events, nodes, most, tick)
    start = rng.choice(nodes, max(1, len(nodes) // NODES_PER_WALK), replace=False)
    at, idle = start.copy(), np.zeros(len(start), np.int64)
    collected.add(start)
    while not collected.enough():
        returns = rng.random((_ROUND, len(start))) < RESTART
        lots = rng.random((_ROUND, len(start)))
        for back, lot in zip(returns, lots, strict=True):
            step = graph.neighbours[graph.ends[at] + (lot * degrees[at]).astype(np.int64)]
            at = np.where(back, start, step)
            idle = np.where(collected.found[at], idle + 1, 0)
            if not idle.all():
                collected.add(at[idle == 0])
            lost = np.flatnonzero(idle > IDLE)
            if len(lost) and len(fresh := collected.missing(len(lost), rng)):
                lost = lost[: len(fresh)]
                start[lost] = at[lost] = fresh
                idle[lost] = 0
                collected.add(fresh)
    return of_nodes(events, collected.sequence())


def forest_fire(events: TrainEvents, rng: np.random.Generator, *, most: int, tick: Tick = lambda _: None) -> Order:
    """Nodes as fires burn them; the order holds at least `most` events, the others come after all."""
    graph = Graph.of(events)
    nodes = np.flatnonzero(graph.degrees)
    collected = Collected(events, nodes, most, tick)
    burning = passed = np.empty(0, np.int64)
    while not collected.enough():
        passed = passed[~collected.found[passed]]
        if not len(burning):
            burning = collected.add(passed[:HOP] if len(passed) else collected.missing(1, rng))
        caught = [_spread(graph, part, collected, rng) for part in _parts(graph.degrees[burning], burning)]
        passed = np.concatenate([*(by for _, by in reversed(caught)), passed])[:BACKLOG]
        burning = np.concatenate([fire for fire, _ in caught])
    return of_nodes(events, collected.sequence())


def _parts(sizes: np.ndarray, burning: np.ndarray) -> list[np.ndarray]:
    """Burning nodes in parts of few enough neighbours (a node with more is a part of its own)."""
    part = np.cumsum(sizes) // _AT_ONCE
    return np.split(burning, np.flatnonzero(np.diff(part)) + 1)


def _spread(
    graph: Graph, burning: np.ndarray, collected: Collected, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The neighbours that burning nodes set on fire, in order, and the latest of those that they pass by."""
    sizes = graph.degrees[burning]
    owner = np.repeat(np.arange(len(burning)), sizes)
    before = np.repeat(np.cumsum(sizes) - sizes, sizes)
    near = graph.neighbours[graph.ends[burning][owner] + np.arange(len(owner)) - before]
    unburnt = ~collected.found[near]
    owner, near = owner[unburnt], near[unburnt].astype(np.int64)
    lots = rng.random(len(near))
    by_lot = np.argsort(owner + lots, kind="stable")
    owner, near = owner[by_lot], near[by_lot]
    left = np.bincount(owner, minlength=len(burning))
    rank = np.arange(len(owner)) - (np.cumsum(left) - left)[owner]
    caught = rank < rng.geometric(BURN, len(burning))[owner]
    return collected.add(near[caught]), near[~caught][: -BACKLOG - 1 : -1]
