from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.contract.errors import JobError
from worker.kinds.interactions.splits import (
    DROPPED,
    TEST,
    TEST_INPUT,
    TRAIN,
    VALIDATION,
    VALIDATION_INPUT,
    clean,
    column,
    leave_2,
    paper,
    split_events,
    strong_generalisation,
)

SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=15)


def events_of(sizes: list[int], seed: int) -> np.ndarray:
    """User index of each event, in shuffled order, for users with these numbers of events."""
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))


def counts(user: np.ndarray, codes: np.ndarray, who: int) -> tuple[int, ...]:
    mine = codes[user == who]
    return tuple(int((mine == code).sum()) for code in (DROPPED, TRAIN, VALIDATION, TEST))


@given(SIZES, st.integers(0, 2**32))
@settings(deadline=None)
def test_paper_split_gives_every_user_the_published_sizes(sizes: list[int], seed: int) -> None:
    user = events_of(sizes, seed)
    codes = paper(user, seed=seed)
    for who, n in enumerate(sizes):
        if n < 3:
            assert counts(user, codes, who) == (n, 0, 0, 0)
        else:
            train, val = int(0.8 * n), int(0.9 * n) - int(0.8 * n)
            assert counts(user, codes, who) == (0, train - 1, val, n - int(0.9 * n) + 1)


@given(SIZES, st.integers(0, 2**32), st.integers(1, 4))
@settings(deadline=None)
def test_clean_split_leaves_every_user_training_and_test(sizes: list[int], seed: int, least: int) -> None:
    user = events_of(sizes, seed)
    codes = clean(user, seed=seed, min_events=least)
    for who, n in enumerate(sizes):
        dropped, train, val, test = counts(user, codes, who)
        assert dropped + train + val + test == n
        if n < least:
            assert dropped == n
        elif n == 1:
            assert train == 1
        else:
            assert train == max(1, int(0.8 * n))
            assert test == max(1, n - int(0.9 * n))


def test_paper_split_of_three_events_is_one_training_and_two_test() -> None:
    codes = paper(np.zeros(3, int), seed=0)
    assert sorted(codes) == [TRAIN, TEST, TEST]


def test_random_split_is_a_function_of_the_seed() -> None:
    user = events_of([30, 40, 50], 0)
    assert (paper(user, seed=1) == paper(user, seed=1)).all()
    assert (paper(user, seed=1) != paper(user, seed=2)).any()


def test_random_split_treats_every_event_alike() -> None:
    user = np.repeat(np.arange(4000), 10)
    codes = clean(user, seed=0).reshape(4000, 10)
    share = (codes == TEST).mean(axis=0)
    assert np.abs(share - 0.1).max() < 0.025


@given(SIZES, st.integers(0, 2**32))
@settings(deadline=None)
def test_leave_2_takes_the_last_two_by_time(sizes: list[int], seed: int) -> None:
    user = events_of(sizes, seed)
    time = np.random.default_rng(seed).permutation(len(user))
    codes = leave_2(user, time)
    for who, n in enumerate(sizes):
        mine = codes[user == who][np.argsort(time[user == who])]
        expected = [DROPPED] * n if n < 3 else [TRAIN] * (n - 2) + [VALIDATION, TEST]
        assert list(mine) == expected


def test_leave_2_keeps_the_order_of_events_at_the_same_time() -> None:
    codes = leave_2(np.zeros(4, int), np.array([5, 5, 5, 1]))
    assert list(codes) == [TRAIN, VALIDATION, TEST, TRAIN]


def test_split_by_time_without_times_is_refused() -> None:
    user = np.zeros(4, int)
    with pytest.raises(JobError, match="timestamp"):
        leave_2(user, np.array([1.0, np.nan, 2, 3]))
    with pytest.raises(JobError, match="timestamp"):
        split_events("leave_2", user, user, seed=0)


@given(st.lists(st.integers(1, 30), min_size=12, max_size=40), st.integers(0, 2**32), st.booleans())
@settings(deadline=None)
def test_strong_generalisation_keeps_groups_of_users_apart(sizes: list[int], seed: int, timed: bool) -> None:
    sizes = [*sizes, 9, 9, 9, 9]
    user = events_of(sizes, seed)
    rng = np.random.default_rng(seed)
    item = rng.integers(0, 40, len(user))
    time = rng.permutation(len(user)) if timed else None
    codes = strong_generalisation(user, item, seed=seed, timestamp=time)
    for who, n in enumerate(sizes):
        mine = codes[user == who]
        if n < 5:
            assert (mine == DROPPED).all()
            continue
        kinds = set(mine.tolist()) - {DROPPED}
        assert kinds <= {TRAIN} or kinds in ({VALIDATION_INPUT, VALIDATION}, {TEST_INPUT, TEST}) or not kinds
        for seen, asked in ((VALIDATION_INPUT, VALIDATION), (TEST_INPUT, TEST)):
            if seen in kinds:
                both = int(np.isin(mine, (seen, asked)).sum())
                assert (mine == seen).sum() == max(1, int(0.8 * both + 1e-9))
                if time is not None:
                    assert time[user == who][mine == seen].max() < time[user == who][mine == asked].min()
    held = codes > TRAIN
    assert np.isin(item[held], item[codes == TRAIN]).all()


def test_strong_generalisation_holds_out_the_users_asked_for() -> None:
    user, item = np.repeat(np.arange(100), 10), np.tile(np.arange(10), 100)
    codes = strong_generalisation(user, item, seed=0, validation_users=7, test_users=12).reshape(100, 10)
    assert (codes == VALIDATION).any(axis=1).sum() == 7
    assert (codes == TEST).any(axis=1).sum() == 12
    assert (codes == TRAIN).all(axis=1).sum() == 81


def test_strong_generalisation_with_too_many_held_out_users_is_refused() -> None:
    user, item = np.repeat(np.arange(10), 10), np.tile(np.arange(10), 10)
    with pytest.raises(JobError, match="leave none"):
        strong_generalisation(user, item, seed=0, validation_users=5, test_users=5)


def test_split_column_reads_names_and_numbers() -> None:
    names = np.array(["train", "Val", " test ", "valid", "dropped", ""])
    assert list(column(names)) == [TRAIN, VALIDATION, TEST, VALIDATION, DROPPED, DROPPED]
    assert list(column(np.array([0, 1, 2, 3, 4, -1]))) == [0, 1, 2, 3, 4, -1]
    assert list(column(np.array([0.0, 2.0]))) == [TRAIN, TEST]


def test_split_column_with_unknown_values_is_refused_by_name() -> None:
    with pytest.raises(JobError, match="holdout"):
        column(np.array(["train", "holdout"]))


def test_split_events_finds_splits_by_name() -> None:
    user, item = np.repeat(np.arange(20), 10), np.tile(np.arange(10), 20)
    time = np.tile(np.arange(10), 20)
    assert (split_events("paper", user, item, seed=3) == paper(user, seed=3)).all()
    assert (split_events("clean", user, item, seed=3) == clean(user, seed=3)).all()
    assert (split_events("leave_2", user, item, seed=3, timestamp=time) == leave_2(user, time)).all()
    assert (split_events("strong", user, item, seed=3) > TRAIN).any()
    assert (split_events("column:part", user, item, seed=3, values=np.full(200, "test")) == TEST).all()
    with pytest.raises(JobError, match="no split called"):
        split_events("holdout", user, item, seed=3)
