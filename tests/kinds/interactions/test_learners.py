from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

from tests.kinds.interactions.made_up import two_tastes
from worker.contract.context import Context
from worker.kinds.interactions.learners import infinite_ae
from worker.kinds.interactions.learners.ease import Ease, EaseGram, EaseModel, EaseOnRows
from worker.kinds.interactions.learners.infinite_ae import InfiniteAE, OnLandmarks, Rows, merge_equal
from worker.kinds.interactions.learners.popularity import Popularity
from worker.kinds.interactions.rows import UserRows
from worker.numerics.ntk import ntk
from worker.numerics.ridge import NotPositiveDefinite, solve


def random_rows(n: int, width: int, share: float = 0.3, seed: int = 0, *, soft: bool = False) -> sparse.csr_array:
    rng = np.random.default_rng(seed)
    dense = (rng.random((n, width)) < share).astype(np.float32)
    return sparse.csr_array(dense * rng.random((n, width), dtype=np.float32) if soft else dense)


@pytest.mark.parametrize("soft", [False, True])
def test_ease_columns_solve_the_ridge_without_their_own_item(soft: bool) -> None:
    rows, ridge = random_rows(40, 7, soft=soft), 3.0
    model = Ease(ridge).fit(rows)
    assert isinstance(model, EaseModel)
    x, weights = rows.toarray().astype(np.float64), model.weights.double().numpy()
    assert (np.diagonal(weights) == 0).all()
    for j in range(7):
        others = np.delete(np.arange(7), j)
        left = x[:, others].T @ x[:, others] + ridge * np.eye(6)
        expected = np.linalg.solve(left, x[:, others].T @ x[:, j])
        np.testing.assert_allclose(weights[others, j], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("ridge", [0.01, 1.0, 500.0])
@pytest.mark.parametrize("soft", [False, True])
def test_ease_by_rows_equals_ease_by_items(ridge: float, soft: bool) -> None:
    rows, inputs = random_rows(30, 50, soft=soft), random_rows(9, 50, seed=1)
    by_items = EaseGram.of(rows, by_rows=False).fit(ridge)
    by_rows = EaseGram.of(rows, by_rows=True).fit(ridge)
    assert isinstance(by_items, EaseModel)
    assert isinstance(by_rows, EaseOnRows)
    np.testing.assert_allclose(by_rows.scores(inputs), by_items.scores(inputs), rtol=2e-4, atol=2e-5)


def test_ease_works_on_the_smaller_side() -> None:
    assert isinstance(Ease(1).fit(random_rows(20, 50)), EaseOnRows)
    assert isinstance(Ease(1).fit(random_rows(50, 20)), EaseModel)


def test_ease_of_items_nobody_has_scores_them_zero() -> None:
    rows = sparse.csr_array(np.hstack([random_rows(10, 12).toarray(), np.zeros((10, 3), np.float32)]))
    inputs = random_rows(4, 15, 0.5, 2)
    for by_rows in (False, True):
        assert np.abs(EaseGram.of(rows, by_rows=by_rows).fit(1).scores(inputs)[:, 12:]).max() == 0


def test_ease_without_any_event_scores_zero() -> None:
    empty = sparse.csr_array((5, 8), dtype=np.float32)
    assert (Ease(1).fit(empty).scores(random_rows(3, 8)) == 0).all()


def test_ease_without_a_ridge_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        Ease(0.0).fit(random_rows(5, 5))


def test_popularity_scores_are_event_counts() -> None:
    rows = random_rows(20, 6, soft=True)
    scores = Popularity(UserRows(rows)).fit({}, Context()).scores(random_rows(3, 6))
    np.testing.assert_allclose(scores, np.tile(rows.toarray().sum(0), (3, 1)), rtol=1e-6)
    scores[0] = 0  # its caller may mask them
    assert (scores[1] > 0).all()


def test_infinite_ae_equals_the_formula() -> None:
    rows, inputs = random_rows(30, 12, 0.6, soft=True), random_rows(7, 12, seed=1)
    x, q = (torch.from_numpy(part.toarray()).double() for part in (rows, inputs))
    expected = ntk(q, x, depth=2) @ solve(ntk(x, depth=2), x, 0.7)
    found = InfiniteAE(lam=0.7, depth=2).fit(rows).scores(inputs)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-6)


def test_infinite_ae_scores_equal_the_check_values() -> None:
    rows = sparse.csr_array(np.array([[1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 1, 1]], np.float32))
    model = InfiniteAE(lam=1.0).fit(rows)
    query = sparse.csr_array(np.array([[1, 0, 1, 0], [1, 0, 0, 0]], np.float32))
    expected = [
        [0.5112741608, 0.2289859255, 0.5821649338, 0.1580951525],
        [0.2673068296, 0.0839770936, 0.2454194396, 0.1058644836],
    ]
    np.testing.assert_allclose(model.scores(query), expected, rtol=0, atol=1e-7)


def test_infinite_ae_ignores_empty_rows_and_the_order_of_rows() -> None:
    rows, inputs = random_rows(25, 10, 0.4), random_rows(5, 10, seed=1)
    gaps = sparse.csr_array(sparse.vstack([rows[::-1], sparse.csr_array((4, 10), dtype=np.float32)]))
    expected = InfiniteAE().fit(rows).scores(inputs)
    np.testing.assert_allclose(InfiniteAE().fit(gaps).scores(inputs), expected, atol=1e-6)


def test_infinite_ae_ranks_for_a_user_without_events_much_like_popularity() -> None:
    chance = np.linspace(0.05, 0.6, 30)
    rows = sparse.csr_array((np.random.default_rng(0).random((300, 30)) < chance).astype(np.float32))
    cold = InfiniteAE(lam=5.0).fit(rows).scores(sparse.csr_array((1, 30), dtype=np.float32))[0]
    assert np.corrcoef(cold, Popularity(UserRows(rows)).fit({}, Context()).counts)[0, 1] > 0.9


def test_infinite_ae_above_max_users_learns_through_seeded_landmarks() -> None:
    rows, inputs = random_rows(80, 15), random_rows(5, 15, seed=1)
    small = InfiniteAE(max_users=20, landmarks=30, seed=3).fit(rows)
    assert small.support.rows.shape == (30, 15)
    again, other = (InfiniteAE(max_users=20, landmarks=30, seed=seed).fit(rows).scores(inputs) for seed in (3, 4))
    np.testing.assert_array_equal(small.scores(inputs), again)
    assert (small.scores(inputs) != other).any()
    exact = InfiniteAE(max_users=80, landmarks=30).fit(rows)
    filled = {row.tobytes() for row in rows.toarray() if row.any()}
    assert exact.support.rows.shape == (len(filled), 15)


@pytest.mark.parametrize("landmarks", [40, 1000])
def test_infinite_ae_with_every_user_as_landmark_is_exact(landmarks: int) -> None:
    rows, inputs = random_rows(40, 20, 0.4), random_rows(6, 20, seed=1)
    through = InfiniteAE(lam=2.0, max_users=10, landmarks=landmarks).prepare(UserRows(rows))
    assert isinstance(through, OnLandmarks)
    expected = InfiniteAE(lam=2.0).fit(rows).scores(inputs)
    np.testing.assert_allclose(through.fit(2.0).scores(inputs), expected, rtol=0, atol=1e-5)


def test_landmarks_are_nearer_to_the_full_model_than_a_subset_of_the_same_size() -> None:
    rows = two_tastes(600).training_rows()
    inputs = random_rows(50, 30, 0.2, 5)
    full = InfiniteAE(lam=1.0).fit(rows).scores(inputs)
    chosen = np.sort(np.random.default_rng(0).choice(rows.shape[0], 60, replace=False))
    subset = InfiniteAE(lam=1.0).fit(sparse.csr_array(rows[chosen])).scores(inputs)
    through = InfiniteAE(lam=1.0, max_users=60, landmarks=60).fit(rows).scores(inputs)
    assert np.abs(through - full).mean() < 0.7 * np.abs(subset - full).mean()


def repeated(seed: int = 0) -> sparse.csr_array:
    """Rows of which many are equal."""
    rows = random_rows(25, 12, 0.4, seed)
    return sparse.csr_array(rows[np.random.default_rng(seed).integers(0, 25, 90)])


@pytest.mark.parametrize("landmarks", [0, 60])
def test_infinite_ae_on_equal_rows_merged_is_the_one_on_all_of_them(landmarks: int) -> None:
    rows, inputs = repeated(), random_rows(6, 12, seed=1)
    filled = rows[np.flatnonzero(np.diff(rows.indptr))]
    x, q = (torch.from_numpy(part.toarray()).double() for part in (filled, inputs))
    expected = ntk(q, x) @ solve(ntk(x), x, 2.0)
    learner = InfiniteAE(lam=2.0, max_users=5, landmarks=landmarks) if landmarks else InfiniteAE(lam=2.0)
    model = learner.fit(rows)
    assert model.support.rows.shape[0] <= 25
    np.testing.assert_allclose(model.scores(inputs), expected.numpy(), rtol=0, atol=1e-5)


def test_equal_rows_are_counted_in_the_order_in_which_they_first_appear() -> None:
    table = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1], [0, 1, 0], [0, 1, 0], [1, 1, 1]], np.float32)
    rows, counts = merge_equal(UserRows(sparse.csr_array(table)))
    assert rows.toarray().tolist() == [[1, 0, 1], [0, 1, 0], [1, 1, 1]]
    assert counts.tolist() == [2, 3, 1]


def test_rows_of_fractions_are_not_merged() -> None:
    table = np.array([[0.5, 0, 1], [1, 0, 0.5]], np.float32)
    rows, counts = merge_equal(UserRows(sparse.csr_array(table)))
    assert rows.toarray().tolist() == table.tolist()
    assert counts.tolist() == [1, 1]


def test_infinite_ae_refuses_a_ridge_too_small_for_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infinite_ae, "DOUBLE_UP_TO", 10)
    training = InfiniteAE().prepare(UserRows(random_rows(30, 12)))
    with pytest.raises(NotPositiveDefinite):
        training.fit(1e-4)
    assert training.fit(1e-3).alpha.shape == (28, 12)  # two of the 30 rows are equal to others


def test_infinite_ae_scores_when_only_the_solve_was_in_double() -> None:
    rows, inputs = random_rows(30, 12), random_rows(5, 12, seed=1)
    model = InfiniteAE().fit(rows)
    single = replace(model, support=Rows(model.support.rows, model.support.squares.float()))
    np.testing.assert_allclose(single.scores(inputs), model.scores(inputs), rtol=0, atol=1e-5)


@pytest.mark.parametrize("learner", [InfiniteAE(), InfiniteAE(max_users=20, landmarks=25)])
def test_infinite_ae_scores_from_a_kernel_made_before_are_the_same(learner: InfiniteAE) -> None:
    inputs = random_rows(5, 12, seed=1)
    training = learner.prepare(UserRows(random_rows(30, 12)))
    cross = training.cross(inputs, most_bytes=10_000)
    assert cross is not None
    for lam in (0.5, 5.0):
        model = training.fit(lam)
        np.testing.assert_array_equal(model.scores(inputs, cross), model.scores(inputs))
    assert training.cross(inputs, most_bytes=100) is None


def test_ease_by_rows_scores_from_similarities_made_before_are_the_same() -> None:
    inputs = random_rows(5, 50, seed=1)
    training = EaseGram.of(random_rows(20, 50))
    cross = training.cross(inputs, most_bytes=10_000)
    assert cross is not None
    model = training.fit(3.0)
    assert isinstance(model, EaseOnRows)
    np.testing.assert_array_equal(model.scores(inputs, cross), model.scores(inputs))
    assert training.cross(inputs, most_bytes=100) is None
    assert EaseGram.of(random_rows(50, 20)).cross(random_rows(5, 20), most_bytes=10_000) is None


def test_infinite_ae_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no rows"):
        InfiniteAE().fit(sparse.csr_array((3, 4), dtype=np.float32))


def as_often(rows: sparse.csr_array, times: np.ndarray) -> sparse.csr_array:
    return sparse.csr_array(rows[np.repeat(np.arange(rows.shape[0]), times)])


@pytest.mark.parametrize("width", [12, 60])
@pytest.mark.parametrize("soft", [False, True])
def test_ease_and_popularity_of_weighted_rows_are_those_of_repeated_rows(width: int, soft: bool) -> None:
    rows, times = random_rows(20, width, soft=soft), np.arange(20) % 4 + 1
    inputs, weights = random_rows(5, width, seed=1), times.astype(np.float32)
    expected = Ease(2.0).fit(as_often(rows, times)).scores(inputs)
    np.testing.assert_allclose(Ease(2.0).fit(rows, weights).scores(inputs), expected, rtol=2e-4, atol=1e-5)
    counted = Popularity(UserRows(rows, weights)).fit({}, Context()).counts
    np.testing.assert_allclose(counted, as_often(rows, times).sum(axis=0), rtol=1e-5)


@pytest.mark.parametrize("learner", [InfiniteAE(), InfiniteAE(max_users=5, landmarks=30)])
@pytest.mark.parametrize("soft", [False, True])
def test_infinite_ae_of_weighted_rows_is_that_of_repeated_rows_at_lambda_times_their_mean(
    learner: InfiniteAE, soft: bool
) -> None:
    rows, times = random_rows(30, 14, 0.5, soft=soft), np.arange(30) % 5 + 1
    inputs = random_rows(6, 14, seed=1)
    weighted = replace(learner, lam=0.7).fit(rows, times.astype(np.float32))
    whole = InfiniteAE(lam=0.7 * times.mean()).fit(as_often(rows, times))
    near = 1e-5 if learner.max_users > 30 else 2e-3
    np.testing.assert_allclose(weighted.scores(inputs), whole.scores(inputs), atol=near)
    scaled = replace(learner, lam=0.7).fit(rows, 50 * times.astype(np.float32))
    np.testing.assert_allclose(scaled.scores(inputs), weighted.scores(inputs), atol=1e-5)
    assert np.abs(InfiniteAE(lam=0.7).fit(rows).scores(inputs) - weighted.scores(inputs)).max() > 0.01


def test_equal_rows_of_different_weights_are_merged() -> None:
    table = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], np.float32)
    rows, counts = merge_equal(UserRows(sparse.csr_array(table), np.array([3, 2, 1], np.float32)))
    assert rows.toarray().tolist() == [[1, 0, 1], [0, 1, 0]]
    assert counts.tolist() == [2, 1], "in units of the mean weight"
