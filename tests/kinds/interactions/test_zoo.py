"""Learners beside EASE and ∞-AE: each does what its formula says, heeds weights of rows, and learns planted tastes."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from scipy import sparse

from tests.kinds.interactions.made_up import two_tastes
from worker.contract.context import Context
from worker.contract.errors import Cancelled
from worker.contract.learner import learners_of
from worker.kinds.interactions.judge import evaluate_params
from worker.kinds.interactions.learners.bpr_mf import Events
from worker.kinds.interactions.learners.half_step import HalfStep, solve
from worker.kinds.interactions.learners.ials import IALS
from worker.kinds.interactions.learners.item_knn import Cooccurrences
from worker.kinds.interactions.learners.svd_ae import Decomposition
from worker.kinds.interactions.metrics import evaluate, means
from worker.kinds.interactions.rows import UserRows

CLOSED = ("item-knn", "svd-ae", "ials")
CHEAP = (*CLOSED, "bpr-mf")
ALL = (*CHEAP, "mult-vae")


def random_rows(n: int, width: int, share: float = 0.3, seed: int = 0) -> sparse.csr_array:
    rng = np.random.default_rng(seed)
    return sparse.csr_array((rng.random((n, width)) < share).astype(np.float32))


def fitted(name: str, rows: UserRows, place: int = 0) -> object:
    one = learners_of("interactions")[name]
    return one.prepare(rows, evaluate_params()(), Context(seed=1)).fit(one.settings[place], Context())


def test_learners_that_are_not_usual_are_offered_but_not_trained_unless_asked_for() -> None:
    params = evaluate_params()
    assert params().learners == ["ease", "infinite-ae", "popularity"]
    assert params(learners=list(CHEAP)).learners == list(CHEAP)


def test_item_knn_equals_shrunk_cosines_of_the_nearest_items() -> None:
    rows, inputs = random_rows(40, 12), random_rows(5, 12, seed=1)
    x = rows.toarray().astype(np.float64)
    norms = np.sqrt((x * x).sum(axis=0))
    similar = x.T @ x / (norms[:, None] * norms[None, :] + 5)
    np.fill_diagonal(similar, 0)
    for item in range(12):  # of each column the three largest, the first of equals
        similar[np.argsort(-similar[:, item], kind="stable")[3:], item] = 0
    model = Cooccurrences.of(UserRows(rows)).fit({"neighbours": 3, "shrink": 5}, Context())
    np.testing.assert_allclose(model.scores(inputs), inputs.toarray() @ similar, rtol=1e-5)


def test_item_knn_in_blocks_without_the_whole_matrix_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, inputs = UserRows(random_rows(40, 30)), random_rows(5, 30, seed=1)
    settings = {"neighbours": 5, "shrink": 0}
    whole = Cooccurrences.of(rows).fit(settings, Context()).scores(inputs)
    monkeypatch.setattr("worker.kinds.interactions.learners.item_knn._BLOCK", 7)
    monkeypatch.setattr("worker.kinds.interactions.learners.item_knn._KEPT_BYTES", 0)
    split = Cooccurrences.of(rows)
    assert split.whole is None
    np.testing.assert_allclose(split.fit(settings, Context()).scores(inputs), whole, rtol=1e-6)


def test_svd_ae_of_full_rank_gives_training_rows_back() -> None:
    rows = random_rows(15, 30, 0.4)
    scores = Decomposition.of(UserRows(rows)).fit({"rank": 30}, Context()).scores(rows)
    np.testing.assert_allclose(scores, rows.toarray(), atol=1e-4)


@pytest.mark.parametrize(("users", "items", "exact"), [(60, 20, 2048), (20, 60, 2048), (60, 20, 0)])
def test_svd_ae_of_a_rank_equals_the_closed_form(
    users: int, items: int, exact: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.kinds.interactions.learners.svd_ae._EXACT", exact)
    rows, inputs = random_rows(users, items, 0.4), random_rows(6, items, 0.4, 1)
    r = rows.toarray().astype(np.float64)
    by_item = r.sum(axis=0) ** -0.5
    u, s, vt = np.linalg.svd(r * r.sum(axis=1, keepdims=True) ** -0.5 * by_item, full_matrices=False)
    q = inputs.toarray() * inputs.sum(axis=1)[:, None] ** -0.5 * by_item
    expected = q @ vt[:4].T / s[:4] @ (u[:, :4].T @ r)
    found = Decomposition.of(UserRows(rows)).fit({"rank": 4}, Context()).scores(inputs)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("weights", [None, (1e-2, 1.0, 3e4, 3e4)])
@pytest.mark.parametrize("rows", [0, 1, 4])
def test_svd_ae_of_a_tiny_sample_needs_no_decomposition_that_may_fail(
    rows: int, weights: tuple[float, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: object, **kwargs: object) -> None:
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr(scipy.linalg, "svd", fails)
    table = np.tile(np.array([1, 1, 0, 0, 0], np.float32), (rows, 1))
    mass = None if weights is None else np.array(weights[:rows], np.float32)
    model = Decomposition.of(UserRows(sparse.csr_array(table), mass)).fit({"rank": 8}, Context())
    scores = model.scores(sparse.csr_array(np.eye(5, dtype=np.float32)))
    assert np.isfinite(scores).all()
    assert (scores[0, :2] > 0).all() == (rows > 0)  # what was used together; of no rows nothing is known
    assert not scores[:, 2:].any()


@pytest.mark.parametrize("width", [3, 7, 13])
@pytest.mark.parametrize("cells", [5, 1 << 13])
def test_half_step_solves_the_ridge_system_of_every_row(
    width: int, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the factors where a row has as many events, else through its events."""
    import torch

    monkeypatch.setattr("worker.kinds.interactions.learners.half_step._CELLS", {"cpu": cells})

    rows = random_rows(9, 14, 0.4)
    rows.data *= np.random.default_rng(2).random(len(rows.data), dtype=np.float32)
    q = torch.from_numpy(np.random.default_rng(0).standard_normal((14, width)).astype(np.float32))
    found = solve(HalfStep.of(rows), q, q.T @ q, 0.3, 0.05, 14.0, Context()).numpy()
    x, factors = rows.toarray().astype(np.float64), q.double().numpy()
    for user in range(9):
        left = 0.3 * factors.T @ factors + factors.T @ (x[user][:, None] * factors)
        left += 0.05 * (x[user].sum() + 0.3 * 14) * np.eye(width)
        np.testing.assert_allclose(found[user], np.linalg.solve(left, factors.T @ x[user]), rtol=1e-3, atol=1e-5)


def test_ials_folds_a_training_row_in_to_what_training_would_solve_for_it() -> None:
    rows = random_rows(50, 20, 0.5)
    training = IALS.of(UserRows(rows), seed=4)
    model = training.fit({"unobserved": 0.3, "reg": 0.01}, Context())
    gram = model.items.T @ model.items
    users = solve(training.by_user, model.items, gram, 0.3, 0.01, 20.0, Context())
    np.testing.assert_allclose(model.scores(rows), (users @ model.items.T).numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CLOSED)
def test_a_row_of_weight_two_is_two_equal_rows(name: str) -> None:
    rows, inputs = random_rows(40, 15, 0.4), random_rows(6, 15, seed=1)
    twice = sparse.csr_array(sparse.vstack([rows, rows[:20]]))
    weights = np.where(np.arange(40) < 20, 2, 1).astype(np.float32)
    last = -1  # of ItemKNN every neighbour: none is cut off by the rounding of equal similarities
    weighted = fitted(name, UserRows(rows, weights), last).scores(inputs)
    np.testing.assert_allclose(weighted, fitted(name, UserRows(twice), last).scores(inputs), rtol=2e-3, atol=2e-4)
    plain = fitted(name, UserRows(rows), last).scores(inputs)
    assert np.abs(weighted - plain).max() > 1e-2


def test_bpr_draws_events_in_proportion_to_weights_and_never_an_item_that_the_user_has() -> None:
    rows = random_rows(30, 12, 0.5)
    weights = np.where(np.arange(30) < 3, 9, 1).astype(np.float32)
    events = Events.of(UserRows(rows, weights))
    user, item, other = events.draw(20_000, np.random.default_rng(0))
    dense = rows.toarray()
    assert (dense[user, item] == 1).all()
    assert (dense[user, other] == 0).all()
    expected = (dense.sum(axis=1) * weights)[:3].sum() / (dense.sum(axis=1) * weights).sum()
    assert (user < 3).mean() == pytest.approx(expected, abs=0.02)


def test_bpr_skips_users_who_have_everything() -> None:
    rows = sparse.csr_array(np.vstack([np.ones((1, 6)), np.eye(6)]).astype(np.float32))
    user, _, _ = Events.of(UserRows(rows)).draw(500, np.random.default_rng(0))
    assert (user > 0).all()


@pytest.mark.parametrize("name", ALL)
def test_learner_tells_tastes_apart_on_users_it_never_saw(name: str) -> None:
    data = two_tastes(260)
    counts = np.asarray(data.train.sum(axis=0)).ravel()
    queries = data.queries("test")
    unseen = queries.take(np.flatnonzero(queries.users >= 130))
    rows = UserRows(sparse.csr_array(data.training_rows()[:130]))
    model = fitted(name, rows, len(learners_of("interactions")[name].settings) // 2)
    found = means(evaluate(model, unseen, counts, (5,), auc=False))["ndcg@5"]
    popular = np.tile(rows.counts.astype(np.float32), (len(unseen), 1))
    assert found > 1.3 * means(evaluate(lambda _: popular, unseen, counts, (5,), auc=False))["ndcg@5"]


@pytest.mark.parametrize("name", ALL)
def test_learner_gives_the_same_scores_for_the_same_seed_and_finite_ones_for_an_empty_history(name: str) -> None:
    rows = UserRows(random_rows(30, 12))
    inputs = sparse.csr_array(sparse.vstack([random_rows(3, 12, seed=1), sparse.csr_array((1, 12), dtype=np.float32)]))
    first, again = (fitted(name, rows).scores(inputs) for _ in range(2))
    assert np.array_equal(first, again)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()


@pytest.mark.parametrize("name", ["ials", "bpr-mf", "item-knn", "mult-vae"])
def test_learner_stops_when_asked_to(name: str) -> None:
    one = learners_of("interactions")[name]
    ctx = Context()
    training = one.prepare(UserRows(random_rows(30, 12)), evaluate_params()(), ctx)
    ctx.stop()
    with pytest.raises(Cancelled):
        training.fit(one.settings[0], ctx)
