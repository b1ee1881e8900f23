"""Which events are for training, validation and test. Every split maps event columns to int8 codes.

The rules are those of arXiv:2206.02626 and 2201.04768 (`paper`, `leave_2`) and of arXiv:1811.09975
(`strong_generalisation`). Duplicate pairs must be gone before: a pair in training and test can never be hit.
"""

from __future__ import annotations

import numpy as np

from worker.contract.errors import JobError

DROPPED, TRAIN, VALIDATION, TEST, VALIDATION_INPUT, TEST_INPUT = -1, 0, 1, 2, 3, 4
SPLIT_NAMES = {
    TRAIN: "train", VALIDATION: "validation", TEST: "test", VALIDATION_INPUT: "validation_input",
    TEST_INPUT: "test_input",
}  # fmt: skip
_COLUMN_NAMES = {
    "train": TRAIN, "training": TRAIN, "0": TRAIN,
    "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION, "dev": VALIDATION, "1": VALIDATION,
    "test": TEST, "2": TEST,
    "validation_input": VALIDATION_INPUT, "validation_fold_in": VALIDATION_INPUT, "3": VALIDATION_INPUT,
    "test_input": TEST_INPUT, "test_fold_in": TEST_INPUT, "4": TEST_INPUT,
    "dropped": DROPPED, "-1": DROPPED, "": DROPPED, "none": DROPPED, "nan": DROPPED,
}  # fmt: skip


def paper(user: np.ndarray, *, seed: int, min_events: int = 3) -> np.ndarray:
    """Random 80/10/10 of each user's events as in the papers, codes int8 (events,).

    With a user's n events in random order, the first int(.8 n) are training, the next up to int(.9 n)
    validation, the rest test; then the very first event moves to test. Users with fewer than `min_events`
    are dropped.
    """
    rank, count = _random_ranks(user, seed)
    codes = _shares(rank, count * 8 // 10, count * 9 // 10)
    codes[rank == 0] = TEST
    codes[count < min_events] = DROPPED
    return codes


def clean(user: np.ndarray, *, seed: int, min_events: int = 3) -> np.ndarray:
    """As `paper` without the move: every user keeps at least one training event, test has max(1, n - int(.9
    n)).

    A user with a single event (possible when `min_events` is 1) has it in training.
    """
    rank, count = _random_ranks(user, seed)
    train = np.maximum(1, count * 8 // 10)
    codes = _shares(rank, train, np.maximum(train, count * 9 // 10))
    codes[count < min_events] = DROPPED
    return codes


def leave_2(user: np.ndarray, timestamp: np.ndarray, *, min_events: int = 3) -> np.ndarray:
    """By time, a user's last event is test, the last but one validation; events at the same time keep their
    order."""
    _check_timestamps(user, timestamp, "leave_2")
    rank, count = _ranks(user, timestamp)
    codes = np.full(len(user), TRAIN, np.int8)
    codes[rank == count - 2] = VALIDATION
    codes[rank == count - 1] = TEST
    codes[count < max(3, min_events)] = DROPPED
    return codes


def strong_generalisation(
    user: np.ndarray,
    item: np.ndarray,
    *,
    seed: int,
    timestamp: np.ndarray | None = None,
    validation_users: int | None = None,
    test_users: int | None = None,
    fold_in: float = 0.8,
    min_events: int = 5,
) -> np.ndarray:
    """Whole users held out: the learner sees `fold_in` of their events and is asked for the rest.

    The part seen is the earliest with `timestamp` (arXiv:1811.09975), random without (Mult-VAE). By default
    a tenth of the users each is validation and test. Held-out events of items that no training user has are
    dropped, as are users with fewer than `min_events` events or, after that, without an event on either
    side.
    """
    if timestamp is not None:
        _check_timestamps(user, timestamp, "strong_generalisation")
    rng = np.random.default_rng(seed)
    _, user, size = np.unique(user, return_inverse=True, return_counts=True)
    eligible = rng.permutation(np.flatnonzero(size >= max(2, min_events)))
    tenth = max(1, len(eligible) // 10)
    n_validation = tenth if validation_users is None else validation_users
    n_test = tenth if test_users is None else test_users
    if n_validation + n_test >= len(eligible):
        raise JobError(
            "too_few_rows",
            f"{n_validation} validation and {n_test} test users leave none of {len(eligible)} for training.",
            pointer="/options/split",
        )
    group = np.full(len(size), DROPPED, np.int8)
    group[eligible] = TRAIN
    group[eligible[:n_validation]] = VALIDATION
    group[eligible[n_validation : n_validation + n_test]] = TEST
    codes = group[user]
    known = np.isin(item, np.unique(item[codes == TRAIN]))
    codes[(codes > TRAIN) & ~known] = DROPPED
    return _fold(user, codes, rng.random(len(user)) if timestamp is None else timestamp, fold_in)


def _fold(user: np.ndarray, codes: np.ndarray, order: np.ndarray, fold_in: float) -> np.ndarray:
    held = np.flatnonzero(codes > TRAIN)
    rank, count = _ranks(user[held], order[held])
    seen = rank < np.clip(np.floor(fold_in * count + 1e-9), 1, count - 1)
    inputs = np.where(codes[held] == VALIDATION, VALIDATION_INPUT, TEST_INPUT)
    folded = np.where(seen, inputs, codes[held])
    folded[count < 2] = DROPPED
    codes[held] = folded
    return codes


def column(values: np.ndarray) -> np.ndarray:
    """Codes from a published split's own column: names (train, validation or val, test, ...) or numbers 0
    to 4.

    `dropped`, -1 and empty leave an event out. Raises `JobError` `invalid_input` that names what it cannot
    read.
    """
    found, position = np.unique(np.asarray(values).astype(str), return_inverse=True)
    names = [value.strip().lower().removesuffix(".0") for value in found]
    unknown = [name for name in names if name not in _COLUMN_NAMES]
    if unknown:
        raise JobError(
            "invalid_input",
            f"The split column has values that name no part: {', '.join(unknown[:5])}.",
            hint="Use train, validation, test, validation_input, test_input or dropped.",
            pointer="/options/split",
        )
    return np.array([_COLUMN_NAMES[name] for name in names], np.int8)[position]


def split_events(
    name: str,
    user: np.ndarray,
    item: np.ndarray,
    *,
    seed: int,
    timestamp: np.ndarray | None = None,
    values: np.ndarray | None = None,
    min_events: int = 3,
) -> np.ndarray:
    """Codes of the split called `paper`, `clean`, `leave_2`, `strong` or `column:NAME` (of `values`)."""
    if name == "paper":
        return paper(user, seed=seed, min_events=max(2, min_events))
    if name == "clean":
        return clean(user, seed=seed, min_events=min_events)
    if name == "leave_2":
        if timestamp is None:
            raise _no_time(name)
        return leave_2(user, timestamp, min_events=min_events)
    if name == "strong":
        return strong_generalisation(user, item, seed=seed, timestamp=timestamp, min_events=max(2, min_events))
    if name.startswith("column:") and values is not None:
        return column(values)
    raise JobError(
        "invalid_input",
        f"There is no split called {name!r}.",
        hint="Splits: paper, clean, leave_2, strong, column:NAME.",
        pointer="/options/split",
    )


def _check_timestamps(user: np.ndarray, timestamp: np.ndarray, split: str) -> None:
    if len(timestamp) != len(user) or (timestamp.dtype.kind == "f" and not np.isfinite(timestamp).all()):
        raise _no_time(split)


def _no_time(split: str) -> JobError:
    return JobError(
        "invalid_input",
        f"The split {split} goes by time, and some events have no timestamp.",
        hint="Map a time column, or choose the split clean.",
        pointer="/options/split",
    )


def _random_ranks(user: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    return _ranks(user, np.random.default_rng(seed).random(len(user)))


def _ranks(user: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per event: its position among its user's events sorted by `order` (stable), and how many the user
    has."""
    by_user = np.lexsort((order, user))
    _, position, count = np.unique(user, return_inverse=True, return_counts=True)
    first = np.concatenate(([0], np.cumsum(count)[:-1])).astype(np.int64)
    rank = np.empty(len(user), np.int64)
    rank[by_user] = np.arange(len(user)) - first[position[by_user]]
    return rank, count[position]


def _shares(rank: np.ndarray, train: np.ndarray, validation: np.ndarray) -> np.ndarray:
    return np.where(rank < train, TRAIN, np.where(rank < validation, VALIDATION, TEST)).astype(np.int8)
