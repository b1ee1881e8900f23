"""Bigram: what came right after the last token, interpolated with the unigram by absolute discounting.

    p(j | i) = max(c_ij - D, 0) / c_i + (sum_k min(c_ik, D) / c_i) p(j)

(Ney, Essen and Kneser 1994); written with min so that expected counts below D, as soft labels give, are right, too. D
is chosen on validation data. A floor that a language model should beat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from worker.contract.context import Context
from worker.contract.learner import Settings, learner
from worker.kinds.sequences.counting import predicted, transitions
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.rows import Rows


@dataclass(frozen=True)
class Bigram:
    """`next`: CSR float64 (V, V), expected transitions; `shares`: float64 (V,), the unigram; `discount`: D."""

    next: sparse.csr_array
    shares: np.ndarray
    discount: float = 0.5

    def fit(self, settings: Settings, ctx: Context) -> Bigram:
        """The same counts at another discount."""
        return Bigram(self.next, self.shares, float(settings["discount"]))

    def _parts(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each token how often anything followed it, and which share of that is discounted, float64 (V,) each."""
        total = np.asarray(self.next.sum(axis=1)).ravel()
        small = self.next.copy()
        small.data = np.minimum(small.data, self.discount)
        taken = np.asarray(small.sum(axis=1)).ravel()
        return total, np.divide(taken, total, out=np.ones_like(total), where=total > 0)

    def probabilities(self, before: np.ndarray) -> np.ndarray:
        """p(. | i), float64 (q, V), of tokens i (q,)."""
        total, rest = self._parts()
        kept = self.next[before].toarray()
        kept = np.maximum(kept - self.discount, 0) / np.maximum(total[before], 1e-12)[:, None]
        return kept + rest[before][:, None] * self.shares

    def scores(self, contexts: Rows) -> np.ndarray:
        """Log probabilities (q, V) after the last token of each context."""
        return np.log(self.probabilities(contexts.items[contexts.indptr[1:] - 1]))

    def surprise(self, rows: Rows) -> np.ndarray:
        """-log probability (n,) of all tokens of each row but the first."""
        total, rest = self._parts()
        lengths = np.maximum(rows.lengths - 1, 0)
        at = rows.followed()
        before, after = rows.items[at], rows.items[at + 1]
        seen = np.asarray(self.next[before, after]).ravel()
        p = np.maximum(seen - self.discount, 0) / np.maximum(total[before], 1e-12) + rest[before] * self.shares[after]
        return np.bincount(np.repeat(np.arange(len(rows)), lengths), -np.log(p), minlength=len(rows))


@learner(
    kind="sequences",
    name="bigram",
    label="bigram",
    floor=True,
    note="what came right after the last token",
    settings=[{"discount": discount} for discount in (0.1, 0.3, 0.5, 0.7, 0.8, 0.9)],
)
def bigram(data: TrainingSet, params: Any, ctx: Context) -> Bigram:
    """Pairs of tokens by how often they occur."""
    found = predicted(data) + 0.5
    return Bigram(transitions(data, ctx), found / found.sum())
