"""Asking about a few documents of every cluster, and about more where the answers differ.

A tree of clusters is grown from the vectors of documents. A node is known by some of its documents that were asked
about; the nodes with the most documents times spread of answers are split in two (spherical k-means), and each half is
asked about until it is known as well. So calls go where the judge disagrees with itself, and a cluster of like
documents of which it thinks alike costs a handful, whatever its size (the idea of TBDFiltering, arXiv:2601.22016; the
rule for splitting and the estimate are ours). A document that was not asked about gets the mean of its leaf, drawn
towards that of the node above.

What the tree is worth is measured on a random probe: documents that are asked about, and that it does not see.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from worker.contract.context import Context
from worker.kinds.text.clusters import unit
from worker.kinds.text.embedding.vectors import Vectors
from worker.kinds.text.noise import uniform

ASKED_A_NODE = 6
LEAST_PROBE, PROBE_SHARE = 20, 0.1
_FITTED_ON, _ROUNDS, _AT_ONCE = 4_096, 8, 8_192
_SPLITS_A_ROUND = 32  # nodes split before the judge is asked again: many questions at once, few rounds

Ask = Callable[[np.ndarray], np.ndarray]
"""Scores float64 of documents by their places (sorted int64), NaN where there is none."""


@dataclass(frozen=True)
class Estimate:
    """Of n documents: `score` float64, the judge's own where it was asked, else the tree's; `asked` bool. `leaves`:
    of the tree; `probe` places int64, and what the tree made of them, `guessed` float64, beside the judge's `true`."""

    score: np.ndarray
    asked: np.ndarray
    leaves: int
    probe: np.ndarray
    guessed: np.ndarray
    true: np.ndarray

    def agreement(self) -> float | None:
        """Spearman's rank correlation between tree and judge on the probe; None where it is not defined."""
        both = np.isfinite(self.guessed) & np.isfinite(self.true)
        if both.sum() < 3 or np.ptp(self.guessed[both]) == 0 or np.ptp(self.true[both]) == 0:
            return None
        return float(np.asarray(spearmanr(self.guessed[both], self.true[both]))[0])


@dataclass
class _Node:
    places: np.ndarray  # sorted
    above: float  # mean of the node above
    spread_above: float

    def mean(self, scores: np.ndarray) -> float:
        """Of its documents that were asked about, drawn towards the node above as if by one more document."""
        known = scores[self.places]
        known = known[np.isfinite(known)]
        return float((known.sum() + self.above) / (len(known) + 1)) if np.isfinite(self.above) else float(known.mean())

    def spread(self, scores: np.ndarray) -> float:
        """Standard deviation of what is known; the node above's where too little is."""
        known = scores[self.places]
        known = known[np.isfinite(known)]
        return float(known.std(ddof=1)) if len(known) > 2 else self.spread_above


def spend(vectors: Vectors, keys: np.ndarray, queries: int, ask: Ask, ctx: Context) -> Estimate:
    """Ask about `queries` of the documents at most, the probe included.

    `keys` uint64 (n,): of the documents, which decide who is asked about first, so their order changes nothing.
    """
    count = vectors.count
    queries = min(queries, count)
    probes = min(max(LEAST_PROBE, round(PROBE_SHARE * queries)), queries // 2)
    order = np.argsort(uniform(keys, ctx.seed, "asked first"), kind="stable")
    probe, turn = np.sort(order[:probes]), np.empty(count, np.int64)
    turn[order] = np.arange(count)
    true = ask(probe)
    scores, asked = np.full(count, np.nan), np.zeros(count, bool)
    hidden = np.zeros(count, bool)
    hidden[probe] = True
    left = queries - probes

    def question(nodes: list[_Node]) -> None:
        nonlocal left
        wanted: list[np.ndarray] = []
        for node in nodes:
            free = node.places[~asked[node.places] & ~hidden[node.places]]
            missing = max(0, ASKED_A_NODE - int(asked[node.places].sum()))
            chosen = free[np.argsort(turn[free])][: min(missing, left)]
            left -= len(chosen)
            wanted.append(chosen)
        places = np.sort(np.concatenate(wanted))
        if len(places):
            asked[places] = True
            scores[places] = ask(places)

    root = _Node(np.arange(count), np.nan, np.inf)
    left_for_root = left
    question([root])
    leaves = [root]
    while left > 0 and np.isfinite(scores).any():
        ctx.progress(left_for_root - left, left_for_root, phase="tree")
        worth = {
            at: len(node.places) * node.spread(scores)
            for at, node in enumerate(leaves)
            if len(node.places) > ASKED_A_NODE and node.spread(scores) > 0
        }
        chosen = heapq.nlargest(_SPLITS_A_ROUND, worth, key=lambda at: (worth[at], -at))
        made: list[_Node] = []
        gone: set[int] = set()
        for at in chosen[: max(1, left // ASKED_A_NODE)]:
            halves = _halves(vectors, leaves[at], turn, scores)
            if halves:
                gone.add(at)
                made += halves
        if not made:
            break
        question(made)
        leaves = [node for at, node in enumerate(leaves) if at not in gone] + made
    estimate = np.full(count, np.nan)
    for node in leaves:
        estimate[node.places] = node.mean(scores) if np.isfinite(scores[node.places]).any() else node.above
    guessed = estimate[probe]
    estimate[asked] = scores[asked]
    estimate[probe] = true
    asked[probe] = True
    return Estimate(estimate, asked, len(leaves), probe, guessed, true)


def _halves(vectors: Vectors, node: _Node, turn: np.ndarray, scores: np.ndarray) -> list[_Node]:
    """The node in two by the angles of its vectors; nothing where they are all alike."""
    first = node.places[np.argsort(turn[node.places])][:_FITTED_ON]
    x = unit(vectors.take(first)).astype(np.float64)
    far = int((x @ x[0]).argmin())
    centres = np.stack([x[0], x[far]])
    for _ in range(_ROUNDS):
        side = (x @ centres.T).argmax(axis=1)
        if side.min() == side.max():
            return []
        centres = np.stack([x[side == half].sum(axis=0) for half in (0, 1)])
        centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
    where = np.concatenate(
        [
            (unit(vectors.take(node.places[start : start + _AT_ONCE])).astype(np.float64) @ centres.T).argmax(axis=1)
            for start in range(0, len(node.places), _AT_ONCE)
        ]
    )
    if where.min() == where.max():
        return []
    mean, spread = node.mean(scores), node.spread(scores)
    return [_Node(node.places[where == half], mean, spread) for half in (0, 1)]
