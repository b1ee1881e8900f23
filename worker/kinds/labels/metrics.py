"""How rankings of labels are measured: precision, gain, and precision weighted by inverse propensity, at 1, 3 and 5.

Definitions are those of the Extreme Classification Repository; propensities are those of Jain, Prabhu and Varma (KDD
2016), section 4: true labels that are rare are missing more often, so finding one counts more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from worker.evidence.measurements import Metric, Ratio, Scores
from worker.kinds.labels.dataset import Csr

AT = (1, 3, 5)
METRICS = (
    *(Metric(f"p{k}", f"P@{k}") for k in AT),
    *(Metric(f"psp{k}", f"PSP@{k}") for k in AT),
    *(Metric(f"ndcg{k}", f"nDCG@{k}") for k in AT),
)


def inverse_propensities(counts: np.ndarray, n: int, a: float = 0.55, b: float = 1.5) -> np.ndarray:
    """What finding each label counts, float64 (L,): 1 + C (count + b)^-a, with C = (ln n - 1) (b + 1)^a.

    `counts`: training documents of each label (L,); `n`: training documents. A label of one document counts ln n,
    whatever a and b are. Below n = e, where the formula gives less than 1, all count 1.
    """
    scale = max(math.log(max(n, 1)) - 1, 0.0) * (b + 1) ** a
    return 1 + scale * (np.asarray(counts, np.float64) + b) ** -a


def hits(top: np.ndarray, truth: Csr) -> np.ndarray:
    """Whether ranked labels int32 (n, k), -1 for none, are true ones of csr (n, L): bool (n, k)."""
    n, width = truth.shape
    own = np.repeat(np.arange(n, dtype=np.int64), np.diff(truth.indptr)) * width + truth.indices
    asked = np.arange(n, dtype=np.int64)[:, None] * width + top
    return np.isin(asked, own) & (top >= 0)


def measure(top: np.ndarray, truth: Csr, inverse: np.ndarray) -> Mapping[str, Scores]:
    """Every metric of ranked labels int32 (n, >= 5), -1 for none, against the truth csr (n, L).

    `inverse`: inverse propensities (L,). P@k and nDCG@k have a value for each document, whose mean counts: hits among
    the first k over k (also for documents of fewer labels), and the discounted gain over the best possible. PSP@k is
    the sum over all documents of the inverse propensities of hits, over the sum of the best possible: never above 1.
    """
    found, counts = hits(top, truth), np.diff(truth.indptr)
    worth = np.where(found, inverse[np.where(top >= 0, top, 0)], 0.0)
    best = best_worths(truth, inverse, max(AT))
    discount = 1 / np.log2(np.arange(max(AT)) + 2)
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    scores: dict[str, Scores] = {}
    for k in AT:
        scores[f"p{k}"] = found[:, :k].sum(axis=1) / k
        gain = (found[:, :k] * discount[:k]).sum(axis=1)
        scores[f"ndcg{k}"] = gain / np.maximum(ideal[np.minimum(counts, k)], 1e-300)
        scores[f"psp{k}"] = Ratio(worth[:, :k].sum(axis=1), best[:, :k].sum(axis=1))
    return scores


def best_worths(truth: Csr, inverse: np.ndarray, k: int) -> np.ndarray:
    """The k largest inverse propensities among the true labels of each document, largest first, 0 for none: (n, k)."""
    n = truth.shape[0]
    document = np.repeat(np.arange(n), np.diff(truth.indptr))
    worth = inverse[truth.indices]
    order = np.lexsort((-worth, document))
    place = np.arange(len(order)) - np.repeat(truth.indptr[:-1], np.diff(truth.indptr))
    best = np.zeros((n, k))
    kept = place < k
    best[document[order][kept], place[kept]] = worth[order][kept]
    return best
