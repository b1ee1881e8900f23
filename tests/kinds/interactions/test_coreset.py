"""Weighted histories: the metric is EASE's own, the pursuit fits its budget, and the method keeps what it promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from tests.official_splits import msweb
from worker.contract.context import Context
from worker.contract.errors import Cancelled, JobError
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.forms import arrays, plain_bytes
from worker.kinds.interactions.histories import Histories
from worker.kinds.interactions.judge import evaluate_params, judge
from worker.kinds.interactions.methods.coreset import CoresetParams, coreset
from worker.kinds.interactions.pursuit import EaseMetric, candidates, pursue, refine, weighted_gram
from worker.kinds.interactions.splits import clean


def quiet() -> None:
    """Nobody asks to stop."""


def some_rows(n: int = 40, items: int = 12, seed: int = 0) -> sparse.csr_array:
    rng = np.random.default_rng(seed)
    table = (rng.random((n, items)) < rng.uniform(0.1, 0.4, items)).astype(np.float32)
    table[table.sum(1) == 0, 0] = 1
    return sparse.csr_array(np.unique(table, axis=0))


def item_weights(gram: np.ndarray, ridge: float) -> np.ndarray:
    inverse = np.linalg.inv(gram + ridge * np.eye(len(gram)))
    return np.eye(len(gram)) - inverse / np.diagonal(inverse)


def excess_loss(gram: np.ndarray, other: np.ndarray, ridge: float) -> float:
    """tr((B - B*)^T (G + r I) (B - B*)), from the definition."""
    apart = item_weights(other, ridge) - item_weights(gram, ridge)
    return float(np.trace(apart.T @ (gram + ridge * np.eye(len(gram))) @ apart))


@pytest.mark.parametrize("ridge", [0.5, 20.0])
def test_metric_is_the_second_order_form_of_the_excess_loss_of_ease(ridge: float) -> None:
    rows = some_rows()
    rng = np.random.default_rng(1)
    counts = rng.integers(1, 6, rows.shape[0]).astype(float)
    gram = weighted_gram(rows, counts)
    metric = EaseMetric.of(gram, ridge).matrix(rows, quiet).astype(np.float64)
    for _ in range(5):
        step = rng.standard_normal(rows.shape[0])
        small = 1e-4
        found = excess_loss(gram, weighted_gram(rows, counts + small * step), ridge) / small**2
        assert step @ metric @ step == pytest.approx(found, rel=2e-3)


def test_pull_of_all_histories_is_that_of_the_whole_matrix_without_making_it() -> None:
    rows = some_rows(80)
    counts = np.arange(1, rows.shape[0] + 1, dtype=float)
    metric = EaseMetric.of(weighted_gram(rows, counts), 3.0)
    whole = metric.matrix(rows, quiet).astype(np.float64)
    some = np.arange(0, rows.shape[0], 3)
    pull, norm = metric.towards(sparse.csr_array(rows[some]), quiet)
    np.testing.assert_allclose(pull, (whole @ counts)[some], rtol=1e-4, atol=1e-4 * np.abs(pull).max())
    np.testing.assert_allclose(norm, np.diagonal(whole)[some], rtol=1e-4)


def test_pursuit_with_room_for_all_comes_to_the_counts() -> None:
    rows = some_rows(25, 14)
    counts = np.random.default_rng(2).integers(1, 9, rows.shape[0]).astype(float)
    gram = weighted_gram(rows, counts)
    metric = EaseMetric.of(gram, 5.0)
    pull, _ = metric.towards(rows, quiet)
    chosen, weights = pursue(metric.matrix(rows, quiet), pull, np.ones(rows.shape[0], int), 1000, quiet)
    found = excess_loss(gram, weighted_gram(sparse.csr_array(rows[chosen]), weights), 5.0)
    assert found < 1e-3 * excess_loss(gram, 0 * gram, 5.0)


@pytest.mark.parametrize("budget", [9, 37, 120])
def test_pursuit_spends_what_it_has_even_where_one_row_exceeds_a_chunk(budget: int) -> None:
    rows = some_rows(60)
    prices = 5 + 2 * np.diff(rows.indptr)
    metric = EaseMetric.of(weighted_gram(rows, np.ones(rows.shape[0])), 2.0)
    pull, _ = metric.towards(rows, quiet)
    chosen, weights = pursue(metric.matrix(rows, quiet), pull, prices, budget, quiet)
    spent = int(prices[chosen].sum())
    assert spent <= budget
    assert budget - spent < prices.max()
    assert len(set(chosen.tolist())) == len(chosen) == len(weights)
    assert (weights > 0).all()


def test_candidates_are_those_of_most_gain_for_their_price() -> None:
    pull, norm, prices = np.array([4.0, -9.0, 3.0, 2.0]), np.ones(4), np.array([16, 1, 3, 1])
    assert candidates(pull, norm, prices, 2).tolist() == [2, 3]
    assert candidates(pull, norm, prices, 9).tolist() == [0, 1, 2, 3]


def test_refined_weights_lose_less() -> None:
    rows = some_rows(60)
    counts = np.random.default_rng(3).integers(1, 9, rows.shape[0]).astype(float)
    gram = weighted_gram(rows, counts)
    few = sparse.csr_array(rows[:20])
    before = counts[:20] * 0.3
    after = refine(few, before, gram, 5.0, quiet)
    losses = [excess_loss(gram, weighted_gram(few, weights), 5.0) for weights in (before, after)]
    assert losses[1] < 0.9 * losses[0]
    assert (after > 0).all()


def shared_habits(users: int = 900, seed: int = 0) -> Interactions:
    """Forty habits of two to five of 60 items, few of them frequent; a third of the users mix in an item of chance."""
    rng = np.random.default_rng(seed)
    habits = [rng.choice(60, rng.integers(2, 6), replace=False) for _ in range(40)]
    often = 1 / np.arange(1, 41)
    user, item = [], []
    for number in range(users):
        row = set(habits[rng.choice(40, p=often / often.sum())].tolist())
        if rng.random() < 0.33:
            row.add(int(rng.integers(60)))
        user += [number] * len(row)
        item += sorted(row)
    who = np.array(user)
    names = np.array([f"u{number}" for number in range(users)])
    return Interactions.from_columns(
        who, np.array(item), clean(who, seed=seed), user_ids=names, item_ids=np.arange(60).astype(str)
    )


@pytest.mark.parametrize("budget", ["4%", "500B"])
def test_coreset_is_of_real_rows_and_takes_the_bytes_it_was_given(budget: str, tmp_path: Path) -> None:
    data = shared_habits()
    summary = coreset(data, CoresetParams(budget=budget), Context())
    source = plain_bytes(arrays(data.training(), "hard"))
    size = plain_bytes(arrays(summary.delivered()["weighted"], "weighted"))
    limit = int(0.04 * source) if budget == "4%" else 500
    assert limit - 20 < size <= limit
    number = {user: row for row, user in enumerate(data.user_ids.tolist())}
    own = data.train[[number[user] for user in summary.row_ids.tolist()]]
    assert np.array_equal(own.toarray(), summary.rows.toarray())
    assert summary.origin.optimised_for == "ease"
    assert summary.origin.settings["ridge"] > 0
    once = next(warning for warning in summary.warnings if "history of one user" in warning)
    counts = Histories.of(data)
    alone = set(counts.users[counts.rows.mass == 1].tolist())
    assert once.endswith(f": {sum(number[user] in alone for user in summary.row_ids.tolist())} of {summary.n_rows}.")
    summary.write(tmp_path, data)
    assert np.load(tmp_path / "mask.npy").sum() == summary.rows.nnz


def test_coreset_of_a_number_of_rows_has_at_most_so_many() -> None:
    summary = coreset(shared_habits(), CoresetParams(budget=25), Context())
    assert 20 <= summary.n_rows <= 25


def test_coreset_beats_every_pick_of_equal_bytes() -> None:
    data = shared_habits(1500)
    summary = coreset(data, CoresetParams(budget="4%"), Context())
    params = evaluate_params()(learners=["ease"], bootstrap=100, draws=2)
    found = judge(data, [summary], params, Context())
    runs = {one.name: found.of("ease", one.name) for one in found.sets}
    mean = {name: np.mean([run.scores["test"]["ndcg@10"].mean() for run in every]) for name, every in runs.items()}
    equal = [one for one in found.sets if one.role == "baseline" and one.equal == "bytes"]
    assert {one.method for one in equal} == {"random-users", "head-users", "frequent-histories"}
    assert all(one.bytes <= found.summary.bytes for one in equal)
    assert mean["summary"] > max(mean[one.name] for one in equal) + 0.01
    assert mean["summary"] > 0.9 * mean["full"]
    bound = next(one for one in found.sets if one.role == "bound")
    assert bound.bytes <= found.summary.bytes
    assert found.of("ease", bound.name)


def test_gram_matrix_of_equal_bytes_trains_ease_alone() -> None:
    data = shared_habits()
    summary = coreset(data, CoresetParams(budget="10%"), Context())
    found = judge(data, [summary], evaluate_params()(bootstrap=100, draws=1), Context())
    bound = next(one for one in found.sets if one.role == "bound")
    assert {result.learner for result in found.results if result.set == bound.name} == {"ease"}


def test_coreset_looks_at_few_candidates_and_popular_items_only_where_told_to() -> None:
    data = shared_habits()
    summary = coreset(data, CoresetParams(budget="4%", candidates=100, max_items=30, refine=False), Context())
    settings = summary.origin.settings
    assert (settings["looked_at"], settings["metric_items"], settings["refine"]) == (100, 30, False)
    assert (np.flatnonzero(np.asarray(summary.rows.sum(0)).ravel()) >= 0).all()


def test_coreset_without_validation_events_says_which_ridge_it_took() -> None:
    user = np.repeat(np.arange(60), 3)
    item = (user * 7 + np.tile([0, 1, 3], 60)) % 23
    data = Interactions.from_columns(user, item, np.zeros(180))
    summary = coreset(data, CoresetParams(budget=8), Context())
    assert any("ridge of EASE was taken" in warning for warning in summary.warnings)


def test_coreset_when_asked_to_stop_raises_cancelled() -> None:
    ctx = Context()
    ctx.stop()
    with pytest.raises(Cancelled):
        coreset(shared_habits(), CoresetParams(), ctx)


@pytest.mark.parametrize(("budget", "code"), [("10B", "budget_too_small"), ("100%", "budget_too_large")])
def test_coreset_of_no_row_or_of_all_bytes_is_refused(budget: str, code: str) -> None:
    with pytest.raises(JobError) as refused:
        coreset(shared_habits(), CoresetParams(budget=budget), Context())
    assert refused.value.code == code
    assert refused.value.pointer == "/params/budget"


MILLION = """
import resource, sys
import numpy as np
from tests.official_splits import msweb
from worker.contract.context import Context
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.methods.coreset import CoresetParams, coreset

users, items, rng = 1_000_000, 400, np.random.default_rng(0)
user = np.repeat(np.arange(users), 1 + rng.poisson(2.0, users))
common = rng.zipf(1.3, len(user)) % items
own = rng.integers(0, 40, users)[user] * 10 + common % 10
item = np.where(rng.random(len(user)) < 0.7, own, common)
pair = np.unique(user * items + item)
split = np.where(rng.random(len(pair)) < 0.05, 1, 0)
data = Interactions.from_columns(pair // items, pair % items, split)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
summary = coreset(data, CoresetParams(budget="20kB"), Context())
settings = summary.origin.settings
print(settings["distinct"], settings["looked_at"], summary.n_rows)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_million_short_rows_go_through_in_bounded_memory() -> None:
    done = subprocess.run([sys.executable, "-c", MILLION], capture_output=True, text=True, check=True)
    sizes, grown = done.stdout.splitlines()
    distinct, looked_at, rows = map(int, sizes.split())
    assert distinct > 50_000
    assert looked_at == 10_000
    assert rows > 500
    assert float(grown) < 2500, "MB: the metric's matrix takes 400"


@pytest.mark.slow
def test_coreset_on_the_demo_data_keeps_what_the_documents_say() -> None:
    for seed, least in ((0, 0.96), (1, 0.96)):
        data = msweb(seed)
        summary = coreset(data, CoresetParams(budget="2%"), Context())
        found = judge(data, [summary], evaluate_params()(learners=["ease"], k=[10], bootstrap=100, draws=1), Context())
        mean = {name: found.of("ease", name)[0].scores["test"]["ndcg@10"].mean() for name in ("full", "summary")}
        assert mean["summary"] > least * mean["full"]
        assert found.summary.bytes <= 0.02 * found.full.bytes
