"""Which events are for training, validation and test: int8 codes, drawn at ingest and stored with the events."""

from __future__ import annotations

import numpy as np

from worker.contract.errors import JobError

TRAIN, VALIDATION, TEST = 0, 1, 2
SPLIT_NAMES = {TRAIN: "train", VALIDATION: "validation", TEST: "test"}
_PARTS = {
    "train": TRAIN, "training": TRAIN, "0": TRAIN,
    "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION, "dev": VALIDATION, "1": VALIDATION,
    "test": TEST, "2": TEST,
}  # fmt: skip


def leave_one_out(indptr: np.ndarray) -> np.ndarray:
    """Of every row of three events or more the last is test, the last but one validation; shorter ones are training."""
    codes = np.full(int(indptr[-1]), TRAIN, np.int8)
    ends = indptr[1:][np.diff(indptr) >= 3]
    codes[ends - 2], codes[ends - 1] = VALIDATION, TEST
    return codes


def temporal(times: np.ndarray, shares: tuple[float, float] = (0.8, 0.9)) -> np.ndarray:
    """Two moments for all rows: events from the 80 % quantile of all times on are validation, from the 90 % test.

    Raises `JobError` when so many events share one time that a part stays empty.
    """
    ordered = np.sort(times)
    cuts = [ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in shares]
    codes = np.select([times >= cuts[1], times >= cuts[0]], [TEST, VALIDATION], TRAIN).astype(np.int8)
    if not (codes == TRAIN).any() or not (codes == VALIDATION).any():
        raise JobError(
            "invalid_input",
            "So many events have the same time that no two moments cut them into training, validation and test.",
            hint="Choose split=leave_one_out, or upload finer times.",
            pointer="/options/split",
        )
    return codes


def given(values: np.ndarray) -> np.ndarray:
    """Codes of a column of names (train, validation or valid, test) or numbers 0 to 2; raises `JobError` for others."""
    found, position = np.unique(np.asarray(values).astype(str), return_inverse=True)
    names = [value.strip().lower().removesuffix(".0") for value in found]
    unknown = [name for name in names if name not in _PARTS]
    if unknown:
        raise JobError(
            "invalid_input",
            f"The split column has values that name no part: {', '.join(repr(name) for name in unknown[:5])}.",
            hint='Use train, validation and test; or columns={"split": ""} where the column says something else.',
            pointer="/columns/split",
        )
    return np.array([_PARTS[name] for name in names], np.int8)[position]


def part_of_file(name: str) -> int | None:
    """The part that a file's name says it is (train.txt, ptb.valid.txt, test-0.parquet); None where it says none."""
    stem = name.rsplit("/", 1)[-1].lower()
    for separator in "._-":
        stem = stem.replace(separator, " ")
    return next((_PARTS[word] for word in stem.split() if word in _PARTS and not word.isdigit()), None)
