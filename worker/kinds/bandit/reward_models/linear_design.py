"""The linear design [1, x, e] of rounds, kept as (contexts, actions, which round has which).

With action embeddings e (A, d_e) the columns are [1, x, e]; without them an action has a column of its own,
[1, x, onehot(a)], whose block of the normal equations is diagonal and is eliminated, so that A may be large. Nothing
of size rounds x features is formed: products are taken on distinct contexts and on actions. Columns of x and e are
standardised over the rounds fitted, and `ridge` penalises standardised coefficients but not the intercept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, sparse

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.expectation import Integers
from worker.kinds.bandit.policies import Floats

_ROWS = 20_000  # rows a temporary array holds: a few megabytes stay near the processor


@dataclass(frozen=True)
class LinearDesign:
    """Contexts `x` (U, 1 + d_x) with intercept, embeddings `e` (A, d_e) or None; row and action of every round (m,)."""

    x: Floats
    e: Floats | None
    rows: Integers
    actions: Integers
    n_actions: int

    @classmethod
    def of(cls, log: BanditLog, rounds: Integers, weight: Floats) -> LinearDesign:
        """The design of some rounds of a log, standardised under the weights (m,)."""
        rows, actions = log.rows[rounds], log.action[rounds]
        by_row = _sums(rows, weight, len(log.contexts))
        x = np.ones((len(log.contexts), 1 + log.contexts.shape[1]))
        x[:, 1:] = log.contexts
        _standardise(x[:, 1:], by_row)
        e = None
        if log.embeddings is not None:
            e = log.embeddings.astype(np.float64)
            _standardise(e, _sums(actions, weight, log.n_actions))
        return cls(x, e, rows, actions, log.n_actions)

    def parts(self, theta: Floats) -> tuple[Floats, Floats]:
        """Scores of contexts (U,) and of actions (A,) under coefficients."""
        of_x, of_a = theta[: self.x.shape[1]], theta[self.x.shape[1] :]
        return self.x @ of_x, of_a if self.e is None else self.e @ of_a

    def scores(self, theta: Floats) -> Floats:
        """Scores of the rounds (m,)."""
        by_context, by_action = self.parts(theta)
        return by_context[self.rows] + by_action[self.actions]

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return self.x.shape[1] + (self.n_actions if self.e is None else self.e.shape[1])

    def transpose(self, values: Floats) -> Floats:
        """The design's transpose times values (m,)."""
        of_x = self.x.T @ _sums(self.rows, values, len(self.x))
        by_action = _sums(self.actions, values, self.n_actions)
        return np.concatenate([of_x, by_action if self.e is None else self.e.T @ by_action])

    def solve(self, weight: Floats, ridge: float, right: Floats) -> Floats:
        """(Z' W Z + ridge I_0)^-1 right, I_0 without the intercept."""
        counts = _sums(self.actions, weight, self.n_actions)
        of_rows = _sums(self.rows, weight, len(self.x))
        d = self.x.shape[1]
        penalty = np.full(d, ridge)
        penalty[0] = 0.0
        xx = np.diag(penalty)
        for start in range(0, len(self.x), _ROWS):
            part = self.x[start : start + _ROWS]
            xx += (part * of_rows[start : start + _ROWS, None]).T @ part
        pairs = sparse.csr_array((weight, (self.actions, self.rows)), (self.n_actions, len(self.x)))
        ax = pairs @ self.x  # (A, d): sums of x over the rounds of an action
        if self.e is None:
            return self._eliminated(xx, ax, np.maximum(counts + ridge, 1e-12), right)
        ee = (self.e * counts[:, None]).T @ self.e + ridge * np.eye(self.e.shape[1])
        ex = self.e.T @ ax
        whole = np.block([[xx, ex.T], [ex, ee]])
        return _positive_solve(whole, right)

    def _eliminated(self, xx: Floats, ax: Floats, diagonal: Floats, right: Floats) -> Floats:
        d = len(xx)
        scaled = ax / diagonal[:, None]
        of_x = _positive_solve(xx - ax.T @ scaled, right[:d] - scaled.T @ right[d:])
        return np.concatenate([of_x, (right[d:] - ax @ of_x) / diagonal])


def _sums(groups: Integers, values: Floats, size: int) -> Floats:
    return np.bincount(groups, values, size).astype(np.float64, copy=False)


def _standardise(features: Floats, weight: Floats) -> None:
    """Centre and scale the columns of (k, d) in place."""
    total = weight.sum()
    centre = weight @ features / total
    squares = np.zeros(features.shape[1])
    for start in range(0, len(features), _ROWS):
        part = features[start : start + _ROWS]
        part -= centre
        squares += weight[start : start + _ROWS] @ (part * part)
    spread = np.sqrt(squares / total)
    # A constant column carries nothing that the intercept does not: it is dropped by scaling it to zero.
    features *= np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-9 * np.maximum(np.abs(centre), 1))


def _positive_solve(matrix: Floats, right: Floats) -> Floats:
    # A rank-deficient block (an intercept beside a complete one-hot without ridge) still has a least-squares solution.
    try:
        return linalg.cho_solve(linalg.cho_factor(matrix), right)
    except linalg.LinAlgError:
        return np.asarray(np.linalg.lstsq(matrix, right, rcond=None)[0], np.float64)
