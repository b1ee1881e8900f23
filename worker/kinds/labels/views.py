"""The views of `label-mix` fitted to some training documents, and what they say of others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from worker.contract.context import Context
from worker.kinds.labels import label_graph
from worker.kinds.labels.dataset import csr
from worker.kinds.labels.encoding import Encoded
from worker.kinds.labels.mixture import Mixture
from worker.kinds.labels.networks import bag
from worker.kinds.labels.postings import Postings
from worker.kinds.labels.ranking import CELLS
from worker.kinds.labels.reranker import Candidates, candidates
from worker.kinds.labels.text_features import TfIdf

FEW_LABELS = 6.0
"""Up to so many labels a document, the network's loss is one softmax over labels."""
_LEAST_DOCUMENTS = 2  # of a term, to have a vector in the network
_ARRAYS = 8  # of documents x labels that live at once
TEXT = bag.Recipe()
FEATURES = bag.Recipe(width=512, hidden=True, dropout=0.5, feature_dropout=0.0, bias=-4.0, rate=3e-3, epochs=12)


@dataclass(frozen=True)
class FittedViews:
    """`counts`: documents of each label (L,); `texts`: labels' texts, in the features of `others`."""

    network_terms: TfIdf
    other_terms: TfIdf
    mixture: Mixture
    texts: Postings | None
    counts: np.ndarray

    def of(self, rows: sparse.csr_matrix, allowed: np.ndarray, least: int) -> Iterator[tuple[Candidates, np.ndarray]]:
        """Batch by batch, candidates of documents (n, v) among `allowed` (L,), and their mixture, float32 (b, c)."""
        size = max(1, CELLS // (_ARRAYS * max(len(allowed), 1)))
        for start in range(0, rows.shape[0], size):
            batch = rows[start : start + size]
            others = self.other_terms.of_rows(batch)
            views = self.mixture.views(self.network_terms.of_rows(batch), others)
            text = None if self.texts is None else self.texts.products(others)
            found = candidates(views, allowed, self.counts, text, least)
            mixed = np.take_along_axis(views.mixed(self.mixture.cosine_weight), np.maximum(found.labels, 0), axis=1)
            yield found, np.where(found.labels >= 0, mixed, np.float32(-np.inf))


def recipe(encoded: Encoded, targets: sparse.csr_matrix) -> bag.Recipe:
    """The network for such documents."""
    chosen = FEATURES if encoded.encoder.vocabulary is None else TEXT
    if targets.nnz > FEW_LABELS * targets.shape[0]:
        return replace(chosen, softmax=False, bias=-4.0)
    return replace(chosen, softmax=True, bias=0.0)


def fit(
    encoded: Encoded, rows: np.ndarray, targets: sparse.csr_matrix, weights: np.ndarray, ctx: Context
) -> FittedViews:
    """Fitted to the documents `rows`, int64, with their targets (n, L) 0/1 and weights (n,)."""
    documents, targets = encoded.documents[rows], csr(targets[rows])
    weights = weights[rows] / weights[rows].mean()
    for_network = encoded.encoder.weighting(_stacked(documents, encoded.texts), _LEAST_DOCUMENTS)
    for_others = encoded.encoder.weighting(documents, 1)
    chosen = recipe(encoded, targets)
    x, y, w = for_network.of_rows(documents), targets, weights
    if chosen.softmax:
        y = label_graph.row_stochastic(y)
    if encoded.texts is not None:
        graph = label_graph.nearest(label_graph.visits(label_graph.transitions(targets)))
        told = label_graph.row_stochastic(graph)
        x, y = _stacked(x, for_network.of_rows(encoded.texts)), _stacked(y, told)
        w = np.concatenate([w, np.ones(told.shape[0])])
    network = bag.train(x, csr(y), w, chosen, ctx)
    others = for_others.of_rows(documents)
    mixture = Mixture.of(network, not chosen.softmax, others, targets, weights)
    texts = None if encoded.texts is None else Postings.of(for_others.of_rows(encoded.texts))
    return FittedViews(
        for_network, for_others, mixture, texts, np.bincount(targets.indices, minlength=targets.shape[1])
    )


def _stacked(first: sparse.csr_matrix, second: sparse.csr_matrix | None) -> sparse.csr_matrix:
    return first if second is None else csr(sparse.vstack([first, second]))
