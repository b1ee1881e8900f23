"""Ratings from biases and factors, fitted by alternating ridge solves; what text adds to them comes from `arms`.

    r_ui = mu + b_u + b_i + <p_u, q_i>

All in float64 and in closed form, a sweep at a time; equal seeds give equal models.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from worker.kinds.interactions.side_text.reviews import Part, Reviews

BIAS_RIDGES = (1.0, 3.0, 10.0, 30.0)
FACTOR_RIDGES = (3.0, 10.0, 30.0, 100.0)
FACTORS, SWEEPS = 10, 8
_BIAS_SWEEPS = 30


@dataclass(frozen=True)
class Described:
    """What a ridge draws item parameters to, in the place of 0: the linear image of the items' mean texts (I, d) that
    is nearest to the parameters found so far, times `strength`. Without texts the image is 0."""

    texts: np.ndarray
    strength: float

    def image(self, item: np.ndarray) -> np.ndarray:
        """Of parameters (I, ...)."""
        d = self.texts
        return self.strength * (d @ np.linalg.solve(d.T @ d + np.eye(d.shape[1]), d.T @ item))


@dataclass(frozen=True)
class Biases:
    """mu, b_u (U,) and b_i (I,)."""

    mean: float
    user: np.ndarray
    item: np.ndarray

    @classmethod
    def fit(cls, train: Part, users: int, items: int, ridge: float, described: Described | None = None) -> Biases:
        """Ridge regression on who and what, by alternating between them; `described` draws item biases to texts."""
        mean = float(train.rating.mean())
        user, item = np.zeros(users), np.zeros(items)
        n_user, n_item = np.bincount(train.user, minlength=users), np.bincount(train.item, minlength=items)
        left = train.rating - mean
        for _ in range(_BIAS_SWEEPS):
            drawn = 0.0 if described is None else ridge * described.image(item)
            item = (np.bincount(train.item, left - user[train.user], items) + drawn) / (n_item + ridge)
            user = np.bincount(train.user, left - item[train.item], users) / (n_user + ridge)
        return cls(mean, user, item)

    def predict(self, part: Part) -> np.ndarray:
        """Ratings (e,)."""
        return self.mean + self.user[part.user] + self.item[part.item]


@dataclass(frozen=True)
class Factors:
    """p (U, k) and q (I, k)."""

    user: np.ndarray
    item: np.ndarray

    @classmethod
    def fit(
        cls, reviews: Reviews, left: np.ndarray, ridge: float, seed: int, described: Described | None = None
    ) -> Factors:
        """Factors of what is `left` (e,) of the training ratings; `described` draws item factors to their texts."""
        train = reviews.train
        rng = np.random.default_rng([seed, 1])
        item = 0.1 * rng.standard_normal((reviews.items, FACTORS))
        user = np.zeros((reviews.users, FACTORS))
        shape = (reviews.users, reviews.items)
        ones = sparse.csr_array((np.ones(len(train)), (train.user, train.item)), shape=shape)
        values = sparse.csr_array((left, (train.user, train.item)), shape=shape)
        ones_by_item, values_by_item = sparse.csr_array(ones.T), sparse.csr_array(values.T)
        for _ in range(SWEEPS):
            user = _solve(ones, values, item, ridge)
            drawn = None if described is None else ridge * described.image(item)
            item = _solve(ones_by_item, values_by_item, user, ridge, drawn)
        return cls(user, item)

    def predict(self, part: Part) -> np.ndarray:
        """<p_u, q_i> (e,)."""
        return (self.user[part.user] * self.item[part.item]).sum(axis=1)


def _solve(
    ones: sparse.csr_array, values: sparse.csr_array, other: np.ndarray, ridge: float, drawn: np.ndarray | None = None
) -> np.ndarray:
    """Factors (n, k) of all rows; `drawn` (n, k): the ridge times what it draws them to."""
    k = other.shape[1]
    outer = (other[:, :, None] * other[:, None, :]).reshape(len(other), k * k)
    left = np.asarray(ones @ outer).reshape(-1, k, k) + ridge * np.eye(k)
    right = np.asarray(values @ other) + (0.0 if drawn is None else drawn)
    return np.linalg.solve(left, right[:, :, None])[:, :, 0]
