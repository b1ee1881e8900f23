"""label-mix: a network, nearest documents and centroids, and a network that re-ranks what they propose. Ours.

Frequent labels are found by a network, rare ones by the documents that are nearest and by the sum of a label's
documents. Texts of labels are training documents, too: their targets are the label and those met with it
(`label_graph`). A re-ranker, trained on a tenth of the documents that the views were not fitted to, weighs the views;
then they are fitted to all. Labels are ranked by log p + alpha log q, with q the inverse propensity: of the alphas
that lose at most one point of P@1 on that tenth, the one with the largest PSP@1.

On that tenth, labels with fewer than two points among the other documents are neither truth nor candidates: that their
points were split would be known from the count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.learner import Settings, learner
from worker.kinds.labels import views
from worker.kinds.labels.contents import contents
from worker.kinds.labels.dataset import LEAST_POINTS, LabelSet
from worker.kinds.labels.encoding import Encoded, encode
from worker.kinds.labels.metrics import hits, inverse_propensities
from worker.kinds.labels.reranker import Candidates, Reranker
from worker.kinds.labels.text_features import rich

ALPHAS = (0.0, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0)
MOST_LOST = 0.01
"""P@1 that a larger alpha may cost."""
_HELD_OUT, _LEAST_HELD_OUT, _MOST_SHARE = 0.1, 300, 0.5
_LEAST_TO_RERANK = 40  # held-out documents


@dataclass(frozen=True)
class LabelMix:
    """A training set, encoded once."""

    training: LabelSet
    encoded: Encoded

    def fit(self, settings: Settings, ctx: Context) -> LabelMixModel:
        """Trained; raises `JobError` `diverged` where documents have nothing to learn from."""
        targets, weights = self.training.targets, self.training.weights
        every = np.arange(len(self.training))
        if not self.encoded.documents.nnz or not targets.nnz:
            raise JobError("diverged", "no document has both features and labels.")
        held = unseen(self.training, np.sort(ctx.rng.permutation(every)[: held_out(len(every))]))
        reranker, alpha = None, 0.0
        if len(held) >= _LEAST_TO_RERANK:
            with ctx.part("views of most documents", 0, 5) as part:
                fitted = views.fit(self.encoded, np.setdiff1d(every, held), targets, weights, part)
            with ctx.part("re-ranker", 2, 5) as part:
                reranker, alpha = choose(fitted, self.encoded, self.training, held, part)
            del fitted  # as large as what follows
        with ctx.part("views", 3, 5) as part:
            fitted = views.fit(self.encoded, every, targets, weights, part)
        return LabelMixModel(self.encoded, fitted, reranker, alpha, len(every), ctx)


@learner(kind="labels", name="label-mix", label="label-mix", seeds=2)
def label_mix(training: LabelSet, params: Any, ctx: Context) -> LabelMix:
    """Of the words of documents and labels and of where they stand, or of uploaded features."""
    return LabelMix(training, encode(training, rich, ctx))


def held_out(count: int) -> int:
    """How many of so many documents the re-ranker is trained on."""
    return int(min(max(_HELD_OUT * count, _LEAST_HELD_OUT), _MOST_SHARE * count))


def unseen(training: LabelSet, held: np.ndarray) -> np.ndarray:
    """Those of the documents `held` (int64, ascending) that say what none of the others says: of a copy, its neighbours
    know the labels, and a re-ranker that learnt from copies would trust neighbours too much."""
    codes = contents(len(training), (training.titles, training.bodies), training.features)
    return held[~np.isin(codes[held], np.delete(codes, held))]


def choose(
    fitted: views.FittedViews, encoded: Encoded, training: LabelSet, held: np.ndarray, ctx: Context
) -> tuple[Reranker | None, float]:
    """The re-ranker, None where the mixture alone has the better P@1, and alpha.

    `held`: the documents of the training set that the views were not fitted to. Both are judged on halves of them by a
    re-ranker of the other half; the one that is returned is trained on all of them.
    """
    q = inverse_propensities(fitted.counts, len(training) - len(held))
    known = fitted.counts >= LEAST_POINTS
    held = held[training.targets[held] @ known > 0]  # a document that is left without truth tells nothing
    if len(held) < _LEAST_TO_RERANK:
        return None, 0.0
    documents = training.take(held)
    found, mixed = gather(fitted, encoded.documents[held], known, 1, ctx)
    truth = hits(found.labels, documents.targets)
    half = np.arange(len(held)) % 2 == 0
    scores = np.empty_like(mixed)
    for number, (learnt, judged) in enumerate(((half, ~half), (~half, half))):
        with ctx.part(f"half {number}", number, 4) as part:
            one = Reranker.of(_some(found, learnt), truth[learnt], documents.weights[learnt], part)
            scores[judged] = one.log_probabilities(_some(found, judged))
    if _first(scores, truth, documents.weights) < _first(mixed, truth, documents.weights):
        return None, 0.0
    alpha = best_alpha(scores, truth, q[np.maximum(found.labels, 0)], documents.weights)
    with ctx.part("all", 2, 4) as part:
        return Reranker.of(found, truth, documents.weights, part), alpha


def best_alpha(scores: np.ndarray, truth: np.ndarray, q: np.ndarray, weights: np.ndarray) -> float:
    """Of `ALPHAS`, the one with the largest PSP@1 among those that lose at most `MOST_LOST` of P@1.

    `scores`, `truth`, `q`: log p, whether it is right and the inverse propensity of each candidate, (n, c).
    """
    least = _first(scores, truth, weights) - MOST_LOST
    alpha, most = 0.0, -1.0
    for tried in ALPHAS:
        ranked = scores + tried * np.log(q)
        gained = _first(ranked, truth * q, weights)  # PSP@1 times a constant
        if gained > most and _first(ranked, truth, weights) >= least:
            alpha, most = tried, gained
    return alpha


def gather(
    fitted: views.FittedViews, rows: Any, allowed: np.ndarray, least: int, ctx: Context
) -> tuple[Candidates, np.ndarray]:
    """Candidates of all documents (n, v) and their mixture (n, c)."""
    parts: list[Candidates] = []
    mixtures: list[np.ndarray] = []
    for found, mixed in fitted.of(rows, allowed, least):
        ctx.progress(sum(len(part.labels) for part in parts), rows.shape[0], phase="candidates")
        parts.append(found)
        mixtures.append(mixed)
    joined = Candidates.joined(parts)
    width = joined.labels.shape[1]
    padded = [np.pad(m, ((0, 0), (0, width - m.shape[1])), constant_values=-np.inf) for m in mixtures]
    return joined, np.concatenate(padded)


@dataclass(frozen=True)
class LabelMixModel:
    """`reranker`: None where the training set was too small for one, or it was no better."""

    encoded: Encoded
    fitted: views.FittedViews
    reranker: Reranker | None
    alpha: float
    documents: int
    ctx: Context

    def top(self, documents: LabelSet, k: int) -> tuple[np.ndarray, np.ndarray]:
        """See `worker.kinds.labels.ranking.Model`. Labels without training documents are never among them."""
        labels = np.full((len(documents), k), -1, np.int32)
        best = np.full((len(documents), k), -np.inf, np.float32)
        allowed = documents.candidates & (self.fitted.counts > 0)
        rows = self.encoded.encoder.rows(documents, self.ctx)
        q = inverse_propensities(self.fitted.counts, self.documents)
        start = 0
        for found, mixed in self.fitted.of(rows, allowed, k):
            self.ctx.progress(start, len(documents), phase="prediction")
            scores = mixed if self.reranker is None else self.reranker.log_probabilities(found)
            scores = scores + np.float32(self.alpha) * np.log(q[np.maximum(found.labels, 0)]).astype(np.float32)
            order = np.argsort(-scores, axis=1, kind="stable")[:, :k]  # candidates are in the order of their numbers
            at = slice(start, start + len(order)), slice(0, order.shape[1])
            labels[at], best[at] = np.take_along_axis(found.labels, order, 1), np.take_along_axis(scores, order, 1)
            start += len(order)
        return labels, best


def _some(found: Candidates, rows: np.ndarray) -> Candidates:
    return Candidates(found.labels[rows], found.features[rows])


def _first(scores: np.ndarray, worth: np.ndarray, weights: np.ndarray) -> float:
    """The weighted mean of what the first candidate of each document is worth."""
    first = scores.argmax(axis=1)
    return float(np.average(worth[np.arange(len(worth)), first], weights=weights))
