"""Three views of which labels a document has: a network, its nearest training documents, and the centroids of labels.

    log(0.65 m P + 0.35 K + 1e-5) + 6 cos

P is what the network says, with m the mean number of labels where P sums to 1; K the share of the votes of the 20
nearest training documents by squared cosine; cos the cosine to the sum of a label's documents. The network knows
frequent labels best, the other two those of a handful of documents. Where documents have many labels, P is of each
label alone, m is 1, and the cosine is left out, which then only prefers rare labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import sparse

from worker.kinds.labels.dataset import csr
from worker.kinds.labels.postings import Postings
from worker.kinds.labels.text_features import unit_rows

NEIGHBOURS, NEIGHBOUR_SHARE, LEAST, COSINE_WEIGHT = 20, 0.35, 1e-5, 6.0


class Network(Protocol):
    """What the mixture asks of a network."""

    def probabilities(self, rows: sparse.csr_matrix) -> np.ndarray:
        """Float32 (b, L)."""
        ...


@dataclass(frozen=True)
class Views:
    """What the three say of b documents: float32 (b, L) each, and the cosine of the nearest document, float32 (b,).

    `network`: expected labels; `votes`: shares of votes; `cosine`: to centroids.
    """

    network: np.ndarray
    votes: np.ndarray
    cosine: np.ndarray
    nearest: np.ndarray

    def mixed(self, weight: float) -> np.ndarray:
        """The mixture with the cosine times `weight`, float32 (b, L)."""
        share = (1 - NEIGHBOUR_SHARE) * self.network + NEIGHBOUR_SHARE * self.votes
        return np.log(share + LEAST) + weight * self.cosine


@dataclass(frozen=True)
class Mixture:
    """`scale`: m, what the network's output is multiplied with; `cosine_weight`: 6, or 0 where documents have many
    labels. `targets`: csr (n, L), rows scaled by weights.

    `documents`, `centroids`: of the same features, which need not be the network's.
    """

    network: Network
    scale: float
    cosine_weight: float
    documents: Postings
    targets: sparse.csr_matrix
    centroids: Postings

    @staticmethod
    def of(
        network: Network,
        many: bool,
        rows: sparse.csr_matrix,
        targets: sparse.csr_matrix,
        weights: np.ndarray,
    ) -> Mixture:
        """Of training documents: rows (n, v) of length 1, targets (n, L), weights (n,); `many`: of many labels."""
        weighted = csr(sparse.diags(weights.astype(np.float32)) @ targets)
        scale, cosine_weight = (1.0, 0.0) if many else (targets.nnz / targets.shape[0], COSINE_WEIGHT)
        near, middle = Postings.of(rows), Postings.of(centroids(rows, weighted))
        return Mixture(network, scale, cosine_weight, near, weighted, middle)

    def views(self, for_network: sparse.csr_matrix, rows: sparse.csr_matrix) -> Views:
        """What the three say of a batch, given as features of the network and of the other two."""
        found, cosine = self.documents.nearest(rows, NEIGHBOURS)
        return Views(
            self.scale * self.network.probabilities(for_network),
            self._votes(found, cosine),
            self.centroids.products(rows),
            cosine[:, 0],
        )

    def _votes(self, found: np.ndarray, cosine: np.ndarray) -> np.ndarray:
        votes = np.where(found >= 0, cosine.astype(np.float64) ** 2, 0)
        votes /= np.maximum(votes.sum(axis=1, keepdims=True), 1e-12)
        query = np.repeat(np.arange(len(found)), found.shape[1])
        matrix = sparse.csr_matrix(
            (votes.ravel(), (query, np.maximum(found, 0).ravel())), (len(found), self.documents.n)
        )
        return (matrix @ self.targets).toarray().astype(np.float32)


def centroids(rows: sparse.csr_matrix, targets: sparse.csr_matrix) -> sparse.csr_matrix:
    """The sum of the rows (n, v) of each label's documents, of length 1: (L, v)."""
    return unit_rows(csr(targets.T @ rows))
