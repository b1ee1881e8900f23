"""How images are held out: the split of the upload where it has one, else a fifth of every class for testing."""

from __future__ import annotations

import numpy as np

from worker.kinds.images.dataset import TEST, TRAIN, VALIDATION

UNKNOWN = -1
TEST_SHARE = 0.2
_LEAST_A_CLASS, _MOST_VALIDATION = 10, 5_000


def random_split(label: np.ndarray, validation_share: float, seed: int) -> np.ndarray:
    """int8 (n,): a fifth of every class for testing, and validation of the rest as `with_validation` has it."""
    split = np.full(len(label), TRAIN, np.int8)
    rng = np.random.default_rng([seed, 0])
    for one in np.unique(label):
        rows = rng.permutation(np.flatnonzero(label == one))
        split[rows[: max(round(TEST_SHARE * len(rows)), int(len(rows) > 2))]] = TEST
    return with_validation(split, label, validation_share, seed)


def with_validation(split: np.ndarray, label: np.ndarray, share: float, seed: int) -> np.ndarray:
    """A split with this share of every class's training images for validation, where it has none.

    At least 10 of a class, but not more than a third of it; at most 5,000 in all.
    """
    train = int((split == TRAIN).sum())
    if not share or (split == VALIDATION).any() or not train:
        return split
    split = split.copy()
    share = min(share, _MOST_VALIDATION / train)
    rng = np.random.default_rng([seed, 1])
    for one in np.unique(label):
        rows = rng.permutation(np.flatnonzero((label == one) & (split == TRAIN)))
        split[rows[: max(round(share * len(rows)), min(_LEAST_A_CLASS, len(rows) // 3))]] = VALIDATION
    return split
