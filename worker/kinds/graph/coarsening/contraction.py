"""Contract sets of nodes one after another, the cheapest first, none of them twice.

A set some of whose nodes are gone is priced again without them and waits for its turn, as in Loukas: Graph reduction
with spectral and cut guarantees (JMLR 2019), algorithm 2. What is ours: sets keep to nodes of one class (published code
merges train nodes of different classes and then loses them), a neighbourhood whose centre is gone is dropped
(the rest of it may be in several pieces, which published code merges all the same), and contraction ends at exactly the
number of nodes asked for, which published code reaches by guessing a rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from worker.kinds.graph.coarsening.partition import Partition
from worker.numerics.compiled import WARM_UPS, compiled, while_waiting


@dataclass(frozen=True)
class Sets:
    """Sets that may be contracted: set s is `members[indptr[s]:indptr[s + 1]]`, its first node, the
    centre, is joined to all others. `cost`: float64 (s,), the lowest is contracted first."""

    indptr: np.ndarray
    members: np.ndarray
    cost: np.ndarray


@dataclass(frozen=True)
class Count:
    """What is counted while nodes are contracted, and how far down it goes: nodes of a known class, or all nodes.

    `mixing`: nodes of different classes may be contracted, and then count as neither; every class keeps one node.
    """

    goal: int
    labelled: bool
    mixing: bool = False

    def of(self, label: np.ndarray) -> int:
        """How many there are (label: int64 (N,))."""
        return int((label >= 0).sum()) if self.labelled else len(label)


def neighbourhoods(adjacency: sparse.csr_array) -> tuple[np.ndarray, np.ndarray]:
    """`indptr` and `members` of every node with its neighbours, the node itself first; isolated nodes have none."""
    degree = np.diff(adjacency.indptr)
    centres = np.flatnonzero(degree)
    indptr = np.concatenate([[0], np.cumsum(degree[centres] + 1)]).astype(np.int64)
    members = np.empty(indptr[-1], np.int64)
    is_centre = np.zeros(len(members), np.bool_)
    is_centre[indptr[:-1]] = True
    members[is_centre] = centres
    members[~is_centre] = adjacency.indices
    return indptr, members


def pairs(adjacency: sparse.csr_array) -> tuple[np.ndarray, np.ndarray]:
    """`indptr` and `members` of both ends of every edge."""
    upper = sparse.triu(adjacency, 1, format="coo")
    members = np.stack([upper.row, upper.col], axis=1).ravel().astype(np.int64)
    return np.arange(0, len(members) + 1, 2, dtype=np.int64), members


def variation_costs(
    adjacency: sparse.csr_array,
    subspace: np.ndarray,
    indptr: np.ndarray,
    members: np.ndarray,
    tick: Callable[[], None] = lambda: None,
) -> np.ndarray:
    """|| B^T L_S B ||_F / (|S| - 1) of every set S (s,): how much contracting it disturbs the subspace A (N, K).

    B = (I - 11^T/|S|) A[S], L_S = diag(2 d_S - W_S 1) - W_S. O(edges inside K + |S| K^2) a set.
    """
    graph = _arrays(adjacency)
    cost = np.empty(len(indptr) - 1)
    inside = np.full(adjacency.shape[0], -1)
    while_waiting(lambda: _price_all(*graph, subspace, indptr, members, inside, cost), tick)
    return cost


def contract(
    adjacency: sparse.csr_array,
    sets: Sets,
    label: np.ndarray,
    count: Count,
    subspace: np.ndarray,
    rng: np.random.Generator,
    tick: Callable[[], None] = lambda: None,
) -> Partition:
    """Contract sets until the count is down to its goal or no set is left; equal costs in random order.

    `label`: int64 (N,), a class, or UNKNOWN or MIXED. `subspace`: what sets are priced by once some of their nodes are
    gone (N, K); of no effect where sets are pairs.
    """
    classes = max(int(label.max()) + 1, 1)
    arguments = (
        *_arrays(adjacency), subspace, sets.indptr, sets.members.copy(), sets.cost.copy(),
        rng.permutation(len(sets.cost)), label, np.bincount(label[label >= 0], minlength=classes),
        count.of(label), count.goal, count.labelled, count.mixing,
    )  # fmt: skip
    return Partition.of_groups(while_waiting(lambda: _contract(*arguments), tick))


def _arrays(adjacency: sparse.csr_array) -> tuple[np.ndarray, ...]:
    weight = adjacency.data.astype(np.float64)
    strength = np.asarray(adjacency.sum(axis=1)).astype(np.float64)
    return adjacency.indptr.astype(np.int64), adjacency.indices.astype(np.int64), weight, strength


@compiled
def _price(begin, neighbour, weight, strength, subspace, members, inside, mark):
    """The cost of one set; `inside` (N,) is scratch that holds marks of other sets."""
    size, width = len(members), subspace.shape[1]
    for node in members:
        inside[node] = mark
    mean = np.zeros(width)
    for node in members:
        mean += subspace[node]
    mean /= size
    form = np.zeros((width, width))
    pull = np.empty(width)
    for node in members:
        within = 0.0
        pull[:] = 0.0
        for place in range(begin[node], begin[node + 1]):
            other = neighbour[place]
            if inside[other] == mark:
                within += weight[place]
                for k in range(width):
                    pull[k] += weight[place] * (subspace[other, k] - mean[k])
        own = 2.0 * strength[node] - within
        for k in range(width):
            here = subspace[node, k] - mean[k]
            for j in range(width):
                form[k, j] += here * (own * (subspace[node, j] - mean[j]) - pull[j])
    return np.sqrt((form * form).sum()) / (size - 1)


@compiled
def _price_all(begin, neighbour, weight, strength, subspace, indptr, members, inside, cost):
    for number in range(len(cost)):
        some = members[indptr[number] : indptr[number + 1]]
        cost[number] = _price(begin, neighbour, weight, strength, subspace, some, inside, number)


@compiled
def _before(cost, tie, one, two):
    return cost[one] < cost[two] or (cost[one] == cost[two] and tie[one] < tie[two])


@compiled
def _sift(heap, size, place, cost, tie):
    """Move the set at a place of the heap down to where it belongs."""
    moved = heap[place]
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and _before(cost, tie, heap[child + 1], heap[child]):
            child += 1
        if not _before(cost, tie, heap[child], moved):
            break
        heap[place] = heap[child]
        place = child
    heap[place] = moved


@compiled
def _contract(
    begin, neighbour, weight, strength, subspace, indptr, members, cost, tie, label, in_class, left, goal, labelled,
    mixing
):  # fmt: skip
    """Groups (N,): the number of the first node of each node's set, its own where it is in none."""
    nodes = len(strength)
    group = np.arange(nodes)
    taken = np.zeros(nodes, np.bool_)
    inside = np.full(nodes, -1)
    size = np.diff(indptr)
    heap = np.arange(len(cost))
    waiting, mark = len(heap), 0
    for place in range(waiting // 2 - 1, -1, -1):
        _sift(heap, waiting, place, cost, tie)
    while waiting > 0 and left > goal:
        number = heap[0]
        first = indptr[number]
        kept, own = 0, -1
        if taken[members[first]]:  # the rest need not hang together
            size[number] = 0
        for place in range(first, first + size[number]):  # the class of a set is that of its first labelled node
            node = members[place]
            if taken[node]:
                continue
            if not mixing and label[node] != -1:
                if own == -1:
                    own = label[node]
                elif label[node] != own:
                    continue
            members[first + kept] = node
            kept += 1
        if kept >= 2 and kept < size[number]:
            size[number] = kept
            mark += 1
            cost[number] = _price(
                begin, neighbour, weight, strength, subspace, members[first : first + kept], inside, mark
            )
            _sift(heap, waiting, 0, cost, tie)
            continue
        waiting -= 1
        heap[0] = heap[waiting]
        _sift(heap, waiting, 0, cost, tie)
        if kept < 2:
            continue
        known, one, mixed = 0, -1, False
        for place in range(first, first + kept):
            this = label[members[place]]
            if this >= 0:
                known += 1
                mixed = mixed or (one >= 0 and this != one)
                one = this
            mixed = mixed or this == -2
        if mixed:
            lost = known if labelled else kept - 1
            survives = left - lost >= goal
            for place in range(first, first + kept):
                if label[members[place]] >= 0:
                    in_class[label[members[place]]] -= 1
            for place in range(first, first + kept):
                if label[members[place]] >= 0 and in_class[label[members[place]]] == 0:
                    survives = False
            if not survives:
                for place in range(first, first + kept):
                    if label[members[place]] >= 0:
                        in_class[label[members[place]]] += 1
                continue
        else:
            lost = max(known - 1, 0) if labelled else kept - 1
            if left - lost < goal:  # the last set is cut to what is asked for
                spare = goal - (left - lost)
                place = first + kept - 1
                while spare > 0:
                    if not labelled or label[members[place]] >= 0:
                        spare -= 1
                    place -= 1
                kept = place - first + 1
                lost = left - goal
            if known > 1:
                in_class[one] -= known - 1
        left -= lost
        for place in range(first, first + kept):
            taken[members[place]] = True
            group[members[place]] = members[first]
    return group


def _compile() -> None:
    adjacency = sparse.csr_array(np.ones((3, 3)) - np.eye(3))
    indptr, members = neighbourhoods(adjacency)
    subspace = np.arange(3.0)[:, None]
    sets = Sets(indptr, members, variation_costs(adjacency, subspace, indptr, members))
    contract(adjacency, sets, np.array([0, 1, -1]), Count(2, True), subspace, np.random.default_rng(0))


WARM_UPS.append(_compile)
