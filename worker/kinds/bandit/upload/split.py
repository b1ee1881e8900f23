"""Which rounds are for training, validation and test."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from worker.contract.errors import JobError
from worker.ingest.table import Words
from worker.kinds.bandit.dataset import TEST, TRAIN, VALIDATION

SHARES = (0.7, 0.8)  # training ends, validation ends
_NAMES = {
    "train": TRAIN, "training": TRAIN, "0": TRAIN,
    "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION, "dev": VALIDATION, "1": VALIDATION,
    "test": TEST, "eval": TEST, "2": TEST,
}  # fmt: skip


def at_random(n: int, user: NDArray[np.int32] | None, seed: int) -> NDArray[np.int8]:
    """70/10/20 of the users (of the rounds without users): whole users are held out."""
    unit = np.arange(n) if user is None else user
    units = int(unit.max()) + 1
    rank = np.empty(units, np.int64)
    rank[np.random.default_rng(seed).permutation(units)] = np.arange(units)
    return _cut(rank, units)[unit]


def by_time(timestamp: NDArray[np.int64]) -> NDArray[np.int8]:
    """The first 70 percent of the rounds are for training, the last 20 for test; equal times stay together."""
    times = np.sort(timestamp)
    first, second = (times[min(int(share * len(times)), len(times) - 1)] for share in SHARES)
    codes = np.where(timestamp < first, TRAIN, np.where(timestamp < second, VALIDATION, TEST)).astype(np.int8)
    if len(np.unique(codes)) < 3:
        raise JobError(
            "timestamps_overlap_split",
            f"Too many rounds have the same time ({len(np.unique(times)):,} distinct times) to cut between them.",
            hint="Upload finer times, or choose the split random.",
            pointer="/options/split",
        )
    return codes


def by_column(part: Words) -> NDArray[np.int8]:
    """Codes of a published split: train, validation, test or 0, 1, 2."""
    used = np.bincount(part.codes, minlength=len(part.words)) > 0
    words = [str(word).strip().lower().removesuffix(".0") for word in part.words.to_pylist()]
    unknown = [word for word, there in zip(words, used, strict=True) if there and word not in _NAMES]
    if unknown:
        raise JobError(
            "invalid_input",
            f"The split column has values that name no part: {', '.join(repr(word) for word in unknown[:5])}.",
            hint="Use train, validation and test.",
            pointer="/options/split",
        )
    return np.array([_NAMES.get(word, TRAIN) for word in words], np.int8)[part.codes]


def overlap(codes: NDArray[np.int8], timestamp: NDArray[np.int64] | None) -> int:
    """Training and validation rounds that are not before the first test round."""
    if timestamp is None or not (codes == TEST).any() or not (codes != TEST).any():
        return 0
    return int((timestamp[codes != TEST] > timestamp[codes == TEST].min()).sum())


def draw(
    how: str,
    n: int,
    *,
    user: NDArray[np.int32] | None,
    timestamp: NDArray[np.int64] | None,
    part: Words | None,
    seed: int,
    in_time: bool,
) -> NDArray[np.int8]:
    """Codes (n,) int8 of the split called `random`, `time`, `none` or `column:NAME`."""
    if how == "none":
        return np.zeros(n, np.int8)
    if how == "time":
        if timestamp is None:
            raise JobError(
                "invalid_input",
                "The split time needs a time for every round, and no column holds one.",
                hint='Name the time column, as in columns={"timestamp": "date"}, or choose another split.',
                pointer="/columns/timestamp",
            )
        return by_time(timestamp)
    if how.startswith("column:") and part is not None:
        codes = by_column(part)
        late = overlap(codes, timestamp) if in_time else 0
        if late:
            raise JobError(
                "timestamps_overlap_split",
                f"{late:,} training or validation rounds are later than the first test round.",
                hint="Correct the split column, choose the split time, or leave split_in_time out.",
                pointer="/options/split_in_time",
            )
        return codes
    return at_random(n, user, seed)


def _cut(rank: NDArray[np.int64], total: int) -> NDArray[np.int8]:
    ends = [int(share * total + 1e-9) for share in SHARES]
    return np.where(rank < ends[0], TRAIN, np.where(rank < ends[1], VALIDATION, TEST)).astype(np.int8)


def part_names(codes: NDArray[np.int8]) -> dict[str, int]:
    """Rounds of every part by name."""
    return {
        name: int((codes == code).sum())
        for name, code in (("train", TRAIN), ("validation", VALIDATION), ("test", TEST))
    }
