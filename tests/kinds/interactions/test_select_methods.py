"""Selections of real rows: what they keep, how much, and that the seed decides it alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import sparse

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.forms import arrays, plain_bytes
from worker.kinds.interactions.methods.auto import AutoParams, auto
from worker.kinds.interactions.methods.frequent_histories import FrequentHistoriesParams, frequent_histories
from worker.kinds.interactions.methods.head_users import HeadUsersParams, by_length, head_users
from worker.kinds.interactions.methods.random_interactions import (
    RandomInteractionsParams,
    random_interactions,
    thinned,
)
from worker.kinds.interactions.methods.random_users import RandomUsersParams, random_users


def dataset(users: int = 40, items: int = 30, longest: int = 12, seed: int = 0) -> Interactions:
    """Users of different row lengths; every fifth has no training events, only a test event."""
    rng = np.random.default_rng(seed)
    user, item, split = [], [], []
    for number in range(users):
        length = int(rng.integers(2, longest + 1))
        chosen = rng.choice(items, length, replace=False)
        user += [number] * length
        item += chosen.tolist()
        split += [2] * length if number % 5 == 0 else [0] * (length - 1) + [1]
    names = np.array([f"user {number}" for number in range(users)])
    items_named = np.array([f"item {number}" for number in range(items)])
    return Interactions.from_columns(
        np.array(user), np.array(item), np.array(split), user_ids=names, item_ids=items_named
    )


def rows_of(data: Interactions, ids: np.ndarray) -> np.ndarray:
    number = {name: row for row, name in enumerate(data.user_ids)}
    return data.train[[number[name] for name in ids]].toarray()


def test_random_users_are_whole_training_rows_of_users_who_have_some() -> None:
    data = dataset()
    summary = random_users(data, RandomUsersParams(budget=12), Context(seed=1))
    assert summary.real_rows
    assert summary.form == "hard"
    assert len(set(summary.row_ids)) == 12
    assert np.array_equal(summary.rows.toarray(), rows_of(data, summary.row_ids))
    assert (np.diff(summary.rows.indptr) > 0).all()
    assert summary.n_events == summary.rows.nnz == np.diff(summary.rows.indptr).sum()
    assert summary.origin.method == "random-users"
    assert summary.origin.settings == {"budget": 12, "seed": 1}


@pytest.mark.parametrize(
    ("method", "params"),
    [
        (random_users, RandomUsersParams(budget=12)),
        (random_interactions, RandomInteractionsParams(keep_percent=30)),
    ],
)
def test_random_selection_with_the_same_seed_is_the_same(method: object, params: object) -> None:
    data = dataset()
    first, again, other = (method(data, params, Context(seed=seed)) for seed in (3, 3, 4))
    assert np.array_equal(first.rows.toarray(), again.rows.toarray())
    assert first.row_ids.tolist() == again.row_ids.tolist()
    assert first.row_ids.tolist() != other.row_ids.tolist() or first.rows.nnz != other.rows.nnz


def test_head_users_are_those_with_most_training_events_whatever_the_seed() -> None:
    data = dataset()
    summary = head_users(data, HeadUsersParams(budget=6), Context(seed=1))
    lengths = np.diff(data.train.indptr)
    assert np.diff(summary.rows.indptr).min() >= np.sort(lengths)[-6]
    other = head_users(data, HeadUsersParams(budget=6), Context(seed=99))
    assert summary.row_ids.tolist() == other.row_ids.tolist()


def test_head_users_of_equal_length_are_taken_by_id() -> None:
    ids = np.array(["c", "a", "b", "d"])
    assert ids[by_length(np.array([2, 2, 2, 1]), ids)].tolist() == ["a", "b", "c", "d"]


@given(keep=st.integers(1, 30), seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_thinned_rows_have_exactly_the_asked_events_all_of_them_real(keep: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = sparse.csr_array((rng.random((6, 10)) < 0.8).astype(np.float32))
    keep = min(keep, rows.nnz)
    kept = thinned(rows, keep, rng)
    assert kept.nnz == keep
    assert (kept.toarray() <= rows.toarray()).all()


def test_random_interactions_keep_the_asked_percent_and_drop_users_left_empty() -> None:
    data = dataset()
    summary = random_interactions(data, RandomInteractionsParams(keep_percent=10), Context())
    assert summary.rows.nnz == round(data.train.nnz * 0.1)
    assert (np.diff(summary.rows.indptr) > 0).all()
    assert (summary.rows.toarray() <= rows_of(data, summary.row_ids)).all()


def test_random_interactions_by_budget_keep_what_as_many_average_users_have() -> None:
    data = dataset()
    mean = data.train.nnz / np.count_nonzero(np.diff(data.train.indptr))
    summary = random_interactions(data, RandomInteractionsParams(budget=8), Context())
    assert summary.rows.nnz == round(8 * mean)


def test_random_interactions_take_one_size_not_two() -> None:
    with pytest.raises(ValidationError, match="not both"):
        RandomInteractionsParams(keep_percent=10, budget=5)
    assert RandomInteractionsParams().keep_percent == 20


def test_random_interactions_that_would_keep_none_are_refused() -> None:
    data = Interactions.from_columns(np.arange(12) % 3, np.arange(12), np.zeros(12))
    with pytest.raises(JobError) as refused:
        random_interactions(data, RandomInteractionsParams(keep_percent=0.1), Context())
    assert refused.value.code == "budget_too_small"
    assert refused.value.pointer == "/params/keep_percent"


@pytest.mark.parametrize("budget", [32, "100%", "1GB"])
def test_budget_of_all_users_or_more_is_refused(budget: int | str) -> None:
    data = dataset()
    assert np.count_nonzero(np.diff(data.train.indptr)) == 32
    with pytest.raises(JobError) as refused:
        random_users(data, RandomUsersParams(budget=budget), Context())
    assert refused.value.code == "budget_too_large"


@pytest.mark.parametrize("method", [random_users, head_users])
def test_budget_in_bytes_is_filled_and_never_exceeded(method: Any) -> None:
    params = {random_users: RandomUsersParams, head_users: HeadUsersParams}[method](budget="1kB")
    summary = method(dataset(users=400), params, Context())
    size = plain_bytes(arrays(summary.delivered()["hard"], "hard"))
    assert 1000 - 4 - 2 * 12 < size <= 1000


def test_auto_on_short_rows_takes_a_coreset_and_says_why() -> None:
    data = dataset(users=300, longest=4)
    summary = auto(data, AutoParams(budget="20%"), Context())
    assert summary.real_rows
    assert summary.form == "weighted"
    assert summary.origin.method == "coreset"
    assert "coreset" in summary.origin.reason
    assert summary.origin.reason not in summary.warnings, "a reason is no warning"


@pytest.mark.parametrize(
    ("budget", "method", "form"),
    [("20%", "distill-cf", "ranked"), ("60%", "random-users", "hard"), (6, "distill-cf", "soft8")],
)
def test_auto_on_long_rows_goes_by_what_was_asked_for_and_says_why(budget: Any, method: str, form: str) -> None:
    data = dataset(users=60, longest=28)
    summary = auto(data, AutoParams(budget=budget), Context())
    assert (summary.origin.method, summary.form) == (method, form)
    assert method in summary.origin.reason
    source = plain_bytes(arrays(data.training(), "hard"))
    sizes = [plain_bytes(arrays(rows, name)) for name, rows in summary.delivered().items()]
    if isinstance(budget, str):
        assert max(sizes) <= float(budget[:-1]) / 100 * source
    else:
        assert max(sizes) < source
        assert "more bytes than the source" not in summary.origin.reason


def test_auto_asked_for_rows_that_take_more_than_the_source_says_so() -> None:
    data = dataset(users=60, longest=28)
    summary = auto(data, AutoParams(budget=45), Context())
    assert summary.n_rows == 45
    assert "more bytes than the source" in summary.origin.reason


def repeated_histories() -> Interactions:
    """Nine users: five with the history {0}, two with {1, 2}, one each with {3} and {4, 5, 6}; a tenth without one."""
    rows = [[0]] * 5 + [[1, 2]] * 2 + [[3], [4, 5, 6]]
    user = np.repeat(np.arange(9), [len(row) for row in rows])
    item = np.concatenate(rows)
    return Interactions.from_columns(
        np.append(user, 9), np.append(item, 0), np.append(np.zeros(len(user)), 2), item_ids=np.arange(8).astype(str)
    )


def test_frequent_histories_are_the_most_shared_rows_with_the_number_of_their_users() -> None:
    data = repeated_histories()
    summary = frequent_histories(data, FrequentHistoriesParams(budget=3), Context())
    assert summary.form == "weighted"
    assert [np.flatnonzero(row).tolist() for row in summary.rows.toarray()] == [[0], [1, 2], [4, 5, 6]]
    np.testing.assert_allclose(summary.weights, [5, 2, 1], rtol=0.02)
    assert summary.row_ids.tolist() == ["0", "5", "8"], "each goes by its first user"


@pytest.mark.parametrize(("budget", "rows"), [("31B", 2), ("21B", 1), ("30B", 2), ("60%", 3)])
def test_frequent_histories_fill_a_budget_in_bytes_and_never_exceed_it(budget: str, rows: int) -> None:
    data = repeated_histories()
    summary = frequent_histories(data, FrequentHistoriesParams(budget=budget), Context())
    limit = int(budget[:-1]) if budget.endswith("B") else int(0.6 * (4 + 4 * 9 + 2 * 13))
    assert summary.n_rows == rows
    assert plain_bytes(arrays(summary.delivered()["weighted"], "weighted")) <= limit


def test_frequent_histories_of_a_weighted_version_count_its_users() -> None:
    plain = repeated_histories()
    weights = np.where(np.arange(10) == 7, 40, 1)
    data = Interactions.from_columns(
        plain.events.user, plain.events.item, plain.events.split, item_ids=plain.item_ids, weights=weights
    )
    summary = frequent_histories(data, FrequentHistoriesParams(budget=1), Context())
    assert summary.row_ids.tolist() == ["7"]
    assert summary.weights.tolist() == [40]
