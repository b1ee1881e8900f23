"""Which rows are held out: drawn by class or bin, or given by a column or by the names of files."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from worker.contract.errors import JobError
from worker.kinds.table.dataset import TEST, TRAIN, VALIDATION

_NAMES = {
    "train": TRAIN, "training": TRAIN, "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION,
    "dev": VALIDATION, "test": TEST, "testing": TEST,
}  # fmt: skip
VALIDATION_SHARE, TEST_SHARE = 0.2, 0.2


def drawn(strata: np.ndarray, seed: int) -> np.ndarray:
    """int8 (n,): of every stratum 20 % test, 20 % validation, and at least one training row."""
    split = np.full(len(strata), TRAIN, np.int8)
    rng = np.random.default_rng([seed, 0])
    for stratum in np.unique(strata):
        rows = rng.permutation(np.flatnonzero(strata == stratum))
        test = round(TEST_SHARE * len(rows))
        held = round(VALIDATION_SHARE * len(rows))
        split[rows[:test]] = TEST
        split[rows[test : test + held]] = VALIDATION
    return split


def of_words(codes: np.ndarray, words: Sequence[str], column: str) -> np.ndarray:
    """int8 (n,) from a column that says train, validation or test of every row."""
    parts = [_NAMES.get(word.strip().lower(), -1) for word in words]
    wrong = [word for word, part in zip(words, parts, strict=True) if part < 0]
    if wrong:
        raise JobError(
            "invalid_input",
            f"The split column {column!r} holds {wrong[0][:60]!r}; its cells are train, validation or test.",
            hint="Write these words, or leave the option split out: then the split is drawn.",
            pointer="/options/split",
        )
    return np.array(parts, np.int8)[codes]


def of_files(names: Sequence[str], sizes: Sequence[int]) -> np.ndarray:
    """int8 (n,) of rows that lie one file below the other; the names of the files say which part each is."""
    parts: list[np.ndarray] = []
    for name, size in zip(names, sizes, strict=True):
        words = re.split(r"[^a-z]+", name.rpartition("/")[2].lower())
        found = {_NAMES[word] for word in words if word in _NAMES}
        if len(found) != 1:
            raise JobError(
                "invalid_input",
                f"The name {name!r} does not say whether the file is for training, validation or test.",
                hint='Name the files such as "train.csv" and "test.csv", or choose another split.',
                pointer="/options/split",
            )
        parts.append(np.full(size, found.pop(), np.int8))
    return np.concatenate(parts)


def with_validation(split: np.ndarray, strata: np.ndarray, seed: int) -> np.ndarray:
    """A given split with a fifth of every stratum's training rows as validation rows, where it has none."""
    if (split == VALIDATION).any():
        return split
    split = split.copy()
    rng = np.random.default_rng([seed, 1])
    for stratum in np.unique(strata):
        rows = rng.permutation(np.flatnonzero((strata == stratum) & (split == TRAIN)))
        split[rows[: round(VALIDATION_SHARE * len(rows))]] = VALIDATION
    return split
