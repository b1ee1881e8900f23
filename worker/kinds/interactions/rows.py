"""What learners of interactions are trained on: user rows with weights; for EASE alone, a Gram matrix of items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from worker.kinds.interactions.item_features import ItemFeatures

Rows = sparse.csr_array


@dataclass(frozen=True)
class UserRows:
    """`matrix`: CSR (n, I) float32, values in (0, 1]. `weights`: float32 (n,), above 0, how many users each row stands
    for; None where each is one user. `places`: the same events with their place in the row's order of time as values
    (`worker.kinds.interactions.sequence`); None where no order is known. `features`: what is known of the items;
    None where nothing is, or no learner asks.

    A learner that has no use for weights of its own draws or repeats rows in proportion to `mass`.
    """

    matrix: Rows
    weights: np.ndarray | None = None
    places: Rows | None = None
    features: ItemFeatures | None = None

    def __post_init__(self) -> None:
        """ValueError when there is not one positive, finite weight for every row."""
        if self.weights is None:
            return
        if self.weights.shape != (self.matrix.shape[0],):
            raise ValueError(f"{self.weights.shape} weights for {self.matrix.shape[0]} rows")
        if not (np.isfinite(self.weights).all() and (self.weights > 0).all()):
            raise ValueError("a row's weight is a number above 0")

    def __len__(self) -> int:
        return self.matrix.shape[0]

    @property
    def items(self) -> int:
        """Items I."""
        return self.matrix.shape[1]

    @property
    def mass(self) -> np.ndarray:
        """How many users each row stands for, (n,) float64."""
        return np.ones(len(self)) if self.weights is None else self.weights.astype(np.float64)

    @property
    def counts(self) -> np.ndarray:
        """Weighted events of each item, (I,) float64."""
        return np.asarray(self.matrix.T @ self.mass, np.float64).ravel()

    def take(self, rows: np.ndarray) -> UserRows:
        """The rows of these numbers (m,), with their weights."""
        weights = None if self.weights is None else self.weights[rows]
        places = None if self.places is None else Rows(self.places[rows])
        return UserRows(Rows(self.matrix[rows]), weights, places, self.features)

    def filled(self) -> UserRows:
        """Those rows that have an event."""
        there = np.diff(self.matrix.indptr) > 0
        return self if there.all() else self.take(np.flatnonzero(there))

    def scaled(self) -> Rows:
        """Rows times the root of their weight, W^1/2 X (n, I): their Gram matrix is X^T W X."""
        if self.weights is None:
            return self.matrix
        return Rows(sparse.diags_array(np.sqrt(self.weights)) @ self.matrix, dtype=np.float32)


@dataclass(frozen=True)
class ItemGram:
    """How often items occur together: symmetric CSR (I, I) float32, its diagonal their counts. EASE needs no more."""

    matrix: Rows

    @property
    def weights(self) -> None:
        """It has no rows of users, hence none."""

    @property
    def places(self) -> None:
        """It has no rows of users, hence no order of time."""

    def __len__(self) -> int:
        return 0
