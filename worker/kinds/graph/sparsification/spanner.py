"""Greedy t-spanners: no distance grows more than t times (Althöfer, Das, Dobkin, Joseph, Soares 1993, algorithm 1).

An edge is left out only when the edges kept so far already join its ends within t times its length. What is kept stays,
so the bound holds at the end; code that looks for the path among edges not yet decided on has no such bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from worker.kinds.graph.sparsification.edges import Edges
from worker.kinds.graph.sparsification.forests import spanning_forests
from worker.numerics.compiled import WARM_UPS, compiled, while_waiting

STRETCHES = (2.0, 3.0, 4.0, 5.0, 7.0, 9.0, math.inf)


def spanner(
    edges: Edges, stretch: float, rng: np.random.Generator, tick: Callable[[], None] = lambda: None
) -> np.ndarray:
    """Mask of the edges kept (m,). The length of an edge is 1 / weight; short edges come first, ties at random.

    `stretch` from 1 (every edge that is a shortest path stays) to infinity (a spanning forest).
    """
    kept = np.zeros(len(edges), np.bool_)
    if math.isinf(stretch):
        forest = edges.nodes - edges.components()
        kept[spanning_forests(edges, forest, rng, tick)] = True
        return kept
    length = 1.0 / edges.weight
    order = np.lexsort((rng.random(len(edges)), length))
    nodes = edges.nodes
    half_edges = np.full(nodes, -1), np.full(2 * len(edges), -1), np.zeros(nodes, np.int64)
    distances = np.full(nodes, np.inf), np.full(nodes, np.inf)
    scratch = *distances, np.empty(nodes + 1, np.int64), np.zeros(nodes, np.bool_), np.empty(2 * nodes, np.int64)
    while_waiting(lambda: _grow(edges.u, edges.v, length, order, stretch, kept, *half_edges, *scratch), tick)
    return kept


def spanner_within(
    edges: Edges, count: int, rng: np.random.Generator, tick: Callable[[], None] = lambda: None
) -> tuple[float, np.ndarray]:
    """The least of 2, 3, 4, 5, 7, 9 and infinity whose spanner has at most `count` edges, and its mask (m,).

    `count` must be at least what a spanning forest has.
    """
    for stretch in STRETCHES:
        kept = spanner(edges, stretch, rng, tick)
        if int(kept.sum()) <= count:
            return stretch, kept
    raise ValueError(f"{count} edges are fewer than a spanning forest has")


@compiled
def _grow(u, v, length, order, stretch, kept, head, following, degree, near, far, queue, waiting, touched):
    """Decide on the edges in `order`. Kept edges e are lists of half-edges 2e (from u) and 2e + 1 (from v).

    No edge kept so far is longer than the present one. So a path within the limit has a node at most (limit + length)/2
    from one end and less than that from the other, and two small balls are searched instead of a large one.
    """
    for edge in order:
        source, target = u[edge], v[edge]
        if degree[source] > degree[target]:
            source, target = target, source
        limit = stretch * length[edge] * (1.0 + 1e-12)
        radius = (limit + length[edge]) / 2
        count, _ = _ball(u, v, length, source, radius, limit, head, following, near, far, queue, waiting, touched, 0)
        radius *= 1.0 - 1e-9
        count, met = _ball(
            u, v, length, target, radius, limit, head, following, far, near, queue, waiting, touched, count
        )
        for number in range(count):
            near[touched[number]] = np.inf
            far[touched[number]] = np.inf
        if not met:
            kept[edge] = True
            following[2 * edge], head[u[edge]] = head[u[edge]], 2 * edge
            following[2 * edge + 1], head[v[edge]] = head[v[edge]], 2 * edge + 1
            degree[u[edge]] += 1
            degree[v[edge]] += 1


@compiled
def _ball(u, v, length, start, radius, limit, head, following, distance, other, queue, waiting, touched, count):
    """Distances from `start` over kept edges up to `radius`: breadth first, corrected where lengths differ.

    Ends when a node is met whose `other` distance makes a path within `limit`. Adds the nodes to `touched` from place
    `count` on; returns the new count and whether the two met.
    """
    size = len(queue)
    first, last = 0, 1
    queue[0] = start
    distance[start] = 0.0
    touched[count] = start
    count += 1
    met = other[start] <= limit
    while first != last and not met:
        node = queue[first]
        first = (first + 1) % size
        waiting[node] = False
        half = head[node]
        while half >= 0:
            edge = half // 2
            end = v[edge] if half % 2 == 0 else u[edge]
            reach = distance[node] + length[edge]
            if reach <= radius and reach < distance[end]:
                if distance[end] == np.inf:
                    touched[count] = end
                    count += 1
                distance[end] = reach
                if reach + other[end] <= limit:
                    met = True
                    break
                if not waiting[end]:
                    waiting[end] = True
                    queue[last] = end
                    last = (last + 1) % size
            half = following[half]
    while first != last:
        waiting[queue[first]] = False
        first = (first + 1) % size
    return count, met


def _compile() -> None:
    spanner(Edges.triangle(), 3.0, np.random.default_rng(0))


WARM_UPS.append(_compile)
