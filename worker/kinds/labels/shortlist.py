"""Meta-labels: clusters of labels, by which a document finds a shortlist where labels are too many to score all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from worker.contract.context import Context
from worker.kinds.labels import label_graph
from worker.kinds.labels.dataset import csr
from worker.kinds.labels.label_tree import clusters
from worker.kinds.labels.ranking import top_k
from worker.kinds.labels.text_features import unit_rows

MOST_IN_CLUSTER, BEAM = 16, 20


@dataclass(frozen=True)
class MetaLabels:
    """`of`: the meta-label of each label, int64 (L,); `members`: csr (M, L), 1 where a label belongs to one."""

    of: np.ndarray
    members: sparse.csr_matrix

    @staticmethod
    def grow(vectors: sparse.csr_matrix, counts: np.ndarray, ctx: Context) -> MetaLabels:
        """Clusters of like vectors (L, v); labels of more than 500 documents (L,) are meta-labels of their own."""
        popular = counts > label_graph.POPULAR
        found = np.empty(len(counts), np.int64)
        found[~popular], depth = clusters(csr(vectors[~popular]), MOST_IN_CLUSTER, ctx)
        found[popular] = (1 << depth) + np.arange(popular.sum())
        ones = np.ones(len(found), np.float32)
        shape = ((1 << depth) + int(popular.sum()), len(found))
        return MetaLabels(found, csr(sparse.csr_matrix((ones, (found, np.arange(len(found)))), shape)))

    def targets(self, targets: sparse.csr_matrix) -> sparse.csr_matrix:
        """Which meta-labels documents have: (n, M) of 0 and 1."""
        found = csr(targets @ self.members.T)
        found.data[:] = 1
        return found

    def texts(self, texts: sparse.csr_matrix) -> sparse.csr_matrix:
        """The sum of the texts (L, v) of each, of length 1."""
        return unit_rows(csr(self.members @ texts))

    def graph(self, graph: sparse.csr_matrix) -> sparse.csr_matrix:
        """C G C^T, the ten largest of each row, normalised like G."""
        met = csr(self.members @ graph @ self.members.T)
        return csr(label_graph.normalised(label_graph.nearest(met)))

    def shortlist(self, probabilities: np.ndarray) -> sparse.csr_matrix:
        """The labels of the likeliest meta-labels (b, M): csr (b, L), the value is the meta-label's probability."""
        best, values = top_k(probabilities, min(BEAM, probabilities.shape[1]))
        row = np.repeat(np.arange(len(best)), best.shape[1])
        beam = sparse.csr_matrix((np.maximum(values.ravel(), 1e-30), (row, best.ravel())), probabilities.shape)
        return csr(beam @ self.members)
