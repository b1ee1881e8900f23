"""Distill-CF: its gradient, what it recovers, and that nothing but the seed decides the bytes of its summary."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import sparse

from tests.official_splits import official
from worker.contract.context import Context
from worker.contract.errors import Cancelled, JobError
from worker.kinds.interactions import distil_loop
from worker.kinds.interactions import distillation as cf
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.forms import arrays, plain_bytes
from worker.kinds.interactions.methods.distill_cf import (
    DELIVERY_RIDGES,
    DENSE_LIMIT,
    DistillCFParams,
    choose_recipe,
    distill_cf,
    guard_size,
    ranked_shape,
)
from worker.kinds.interactions.methods.random_users import RandomUsersParams, random_users
from worker.kinds.interactions.summary import InteractionsSummary

QUICK = {"budget": 6, "steps": 12, "validate_every": 4, "row_mass": 6, "patience": 12}


def two_clusters(users: int = 60, items: int = 20, per_user: int = 7, seed: int = 0) -> Interactions:
    """Users who like items of the lower half only, or of the upper half only."""
    rng = np.random.default_rng(seed)
    half = items // 2
    user, item, split = [], [], []
    for number in range(users):
        chosen = rng.choice(half, per_user, replace=False) + half * (number % 2)
        user += [number] * per_user
        item += chosen.tolist()
        split += [0] * (per_user - 2) + [1, 2]
    return Interactions.from_columns(np.array(user), np.array(item), np.array(split))


def fingerprint(summary: InteractionsSummary) -> tuple[bytes, ...]:
    parts: list[bytes] = []
    for rows in (*(one.matrix for one in summary.delivered().values()), summary.hard):
        parts += [rows.data.tobytes(), rows.indices.tobytes(), rows.indptr.tobytes()]
    return (*parts, repr((summary.origin, sorted(summary.ridges.items()))).encode())


class StoppedAt(Context):
    """A context that is asked to stop while a given step is under way, as when its worker is killed."""

    def __init__(self, step: int, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.step = step

    def report_progress(self, step: int, total: int, phase: str, metrics: object, fraction: float) -> None:
        if step == self.step:
            self.stop()


def test_loss_gradient_through_the_kernel_equals_central_differences() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    inputs = (torch.rand(5, 6, generator=generator) < 0.5).double()
    targets = (torch.rand(5, 6, generator=generator) < 0.5).double()
    weights = torch.tensor([1.0, 2.0, 1.0, 3.0, 1.0], dtype=torch.float64)

    def loss(at: torch.Tensor) -> torch.Tensor:
        rows = cf.soft_rows(at, row_mass=3.0, tau=1.3, draws=2, seed=4, step=1)
        fit = cf.outer_loss(rows, inputs, targets, weights, ridge=0.05, depth=2, normalise_users=True)
        return fit + cf.sparsity_loss(rows, 0.1, 3.0)

    leaf = logits.clone().requires_grad_()
    loss(leaf).backward()
    numeric = torch.zeros_like(logits)
    for index in np.ndindex(*logits.shape):
        shift = torch.zeros_like(logits)
        shift[index] = 1e-5
        numeric[index] = (loss(logits + shift) - loss(logits - shift)) / 2e-5
    assert float(numeric.abs().max()) > 1e-3
    assert torch.allclose(leaf.grad, numeric, atol=1e-4 * float(numeric.abs().max()))


def test_gradient_in_blocks_equals_gradient_at_once() -> None:
    targets = cf.merge_equal_rows(two_clusters().training_rows())
    recipe = choose_recipe(
        DistillCFParams(row_mass=6, draws=1, batch_users=0, mask_input=0), users=4, items=20, mean_events=5
    )
    logits = torch.randn(4, 20, generator=torch.Generator().manual_seed(0))
    whole = distil_loop.gradient(logits, targets, recipe, seed=3, step=5, block=10_000)
    parts = distil_loop.gradient(logits, targets, recipe, seed=3, step=5, block=7)
    assert whole[0] == pytest.approx(parts[0], rel=1e-5)
    assert torch.allclose(whole[1], parts[1], atol=1e-5 * float(whole[1].abs().max()) + 1e-8)


def test_merged_rows_weigh_as_the_users_they_stand_for() -> None:
    table = np.array([[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [1, 1, 0, 1]], np.float32)
    merged = cf.merge_equal_rows(sparse.csr_array(table))
    assert merged.rows.toarray().tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [1, 1, 0, 1]]
    assert merged.weights.tolist() == [2, 2, 1]
    rows = torch.rand(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    full, few = torch.from_numpy(table).double(), torch.from_numpy(merged.rows.toarray()).double()
    every = cf.outer_loss(rows, full, full, torch.ones(5, dtype=torch.float64), ridge=0.1)
    once = cf.outer_loss(rows, few, few, torch.from_numpy(merged.weights).double(), ridge=0.1)
    assert float(every) == pytest.approx(float(once), rel=1e-12)


def test_batch_is_of_users_not_of_distinct_rows() -> None:
    table = np.repeat(np.eye(4, dtype=np.float32), [1, 1, 1, 97], axis=0)
    merged = cf.merge_equal_rows(sparse.csr_array(table))
    ((rows, weights),) = cf.batches(merged, 50, 1000, 0, 1)
    assert weights.sum() == 50
    assert dict(zip(rows.tolist(), weights.tolist(), strict=True))[3] >= 47
    everyone = list(cf.batches(merged, 0, 3, 0, 1))
    assert [part.tolist() for part, _ in everyone] == [[0, 1, 2], [3]]
    assert sum(int(weights.sum()) for _, weights in everyone) == 100


@pytest.mark.parametrize("weights", [(3.0, 1.0, 6.0), (0.3, 0.1, 0.6), (150.5, 50.2, 301.3)])
def test_batch_is_of_users_where_rows_stand_for_fractions_of_them(weights: tuple[float, ...]) -> None:
    mass = np.array(weights) * 40
    merged = cf.merge_equal_rows(sparse.csr_array(np.eye(3, dtype=np.float32)), mass=mass)
    drawn = np.zeros(3)
    for step in range(300):
        ((rows, counts),) = cf.batches(merged, 5, 1000, 0, step)
        assert counts.sum() == 5
        drawn[rows] += counts
    assert drawn / drawn.sum() == pytest.approx([0.3, 0.1, 0.6], abs=0.04)


@pytest.mark.parametrize("extra", [{}, {"batch_users": 10, "draws": 1}, {"export": "ranked"}])
def test_rows_with_weights_are_as_many_users(extra: dict[str, object]) -> None:
    rng = np.random.default_rng(3)
    rows = [rng.choice(8, 3, replace=False) + 8 * (number % 2) for number in range(20)]
    count = rng.integers(1, 9, len(rows))

    def version(chosen: np.ndarray, weights: np.ndarray | None) -> Interactions:
        item = np.concatenate([rows[number] for number in chosen])
        return Interactions.from_columns(
            np.repeat(np.arange(len(chosen)), 3), item, np.zeros(len(item), int), weights=weights
        )

    params = DistillCFParams(**{**QUICK, "init": "random", **extra})
    weighted, repeated, plain = (
        fingerprint(distill_cf(version(chosen, weights), params, Context(seed=4)))[:-1]
        for chosen, weights in (
            (np.arange(20), count),
            (np.repeat(np.arange(20), count), None),
            (np.arange(20), None),
        )
    )
    assert weighted == repeated
    assert weighted != plain


def test_loss_on_two_planted_clusters_falls_and_two_rows_recover_them() -> None:
    data = two_clusters(items=20)
    targets = cf.merge_equal_rows(data.training_rows())
    params = DistillCFParams(row_mass=8, tau=1, draws=0, lr=0.1, inner_lambda=0.1, mask_input=0, batch_users=0)
    recipe = choose_recipe(params, users=2, items=20, mean_events=5)
    start = cf.initial_logits(data.training_rows(), 2, start="users", noise=0.1, seed=3)
    state = distil_loop.Progress.begin(Context(), start)
    losses = []
    for step in range(1, 51):
        state.step = step
        loss, grad = distil_loop.gradient(state.logits, targets, recipe, seed=0, step=step, block=1000)
        distil_loop.adam(state, grad, recipe.lr)
        losses.append(loss)
    assert losses[-1] < losses[0] - 0.3
    rows = distil_loop.rows_at(state.logits, recipe, 0, 51).numpy()
    sides = []
    for row in rows:
        top = np.argsort(-row)[:10]
        assert (top < 10).all() or (top >= 10).all()
        sides.append(bool(top[0] < 10))
    assert sorted(sides) == [False, True]


def test_adam_equals_that_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 4, generator=generator)
    state = distil_loop.Progress(start.clone(), torch.zeros(3, 4), torch.zeros(3, 4))
    other = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([other], lr=0.04)
    for step in range(1, 20):
        grad = torch.randn(3, 4, generator=generator)
        state.step = step
        distil_loop.adam(state, grad, 0.04)
        other.grad = grad.clone()
        optimiser.step()
    assert torch.allclose(state.logits, other.detach(), atol=1e-6)


@pytest.mark.parametrize("extra", [{}, {"draws": 2, "tau": 1.0, "mask_input": 0.3, "batch_users": 10}])
def test_same_seed_gives_the_same_bytes_and_another_seed_others(extra: dict[str, float]) -> None:
    data, params = two_clusters(), DistillCFParams(**{**QUICK, **extra})
    first, again, other = (distill_cf(data, params, Context(seed=seed)) for seed in (5, 5, 6))
    assert fingerprint(first) == fingerprint(again)
    assert fingerprint(first) != fingerprint(other)


@pytest.mark.parametrize("stop", [1, 3, 4, 7, 8, 11])
@pytest.mark.parametrize("hard", [False, True])
def test_run_stopped_at_any_step_and_resumed_gives_the_bytes_of_an_undisturbed_one(stop: int, hard: bool) -> None:
    data = two_clusters()
    params = DistillCFParams(**QUICK, draws=1, tau=2.0, mask_input=0.3, batch_users=10, train_hard=hard)
    undisturbed = distill_cf(data, params, Context(seed=2))
    ctx = StoppedAt(stop, seed=2)
    with pytest.raises(Cancelled):
        distill_cf(data, params, ctx)
    resumed = Context(seed=2, _points=dict(ctx._points))
    assert resumed.restore().step == stop
    assert fingerprint(distill_cf(data, params, resumed)) == fingerprint(undisturbed)


def test_stop_is_obeyed_within_one_step() -> None:
    steps: list[int] = []

    class Counting(StoppedAt):
        def report_progress(self, step: int, total: int, phase: str, metrics: object, fraction: float) -> None:
            steps.append(step)
            super().report_progress(step, total, phase, metrics, fraction)

    with pytest.raises(Cancelled):
        distill_cf(two_clusters(), DistillCFParams(**QUICK), Counting(5))
    assert steps == [1, 2, 3, 4, 5]


def test_time_limit_delivers_the_best_so_far_with_a_warning() -> None:
    ctx = Context(deadline=time.monotonic() - 1)
    summary = distill_cf(two_clusters(), DistillCFParams(**QUICK), ctx)
    assert summary.origin.settings["steps_done"] == 1
    assert summary.rows.shape == (6, 20)
    assert any("time limit" in warning for warning in summary.warnings)


def test_patience_ends_a_run_that_no_longer_improves() -> None:
    params = DistillCFParams(**{**QUICK, "steps": 200, "patience": 4, "lr": 0.2})
    summary = distill_cf(two_clusters(), params, Context())
    assert summary.origin.settings["steps_done"] - summary.origin.best_step == 4
    assert summary.origin.settings["steps_done"] < 200


def test_delivered_checkpoint_and_ridge_are_the_best_of_validation() -> None:
    summary = distill_cf(two_clusters(), DistillCFParams(**{**QUICK, "steps": 40}), Context())
    curve = summary.origin.curve
    best = max(curve, key=lambda entry: entry["score"])
    assert summary.origin.best_step == best["step"]
    assert [entry["step"] for entry in curve] == sorted(entry["step"] for entry in curve)
    assert set(summary.ridges) == set(summary.delivered())
    assert set(summary.ridges.values()) <= set(DELIVERY_RIDGES)


def test_test_events_change_nothing_in_the_summary() -> None:
    data = two_clusters()
    events = data.events
    kept = events.take(events.split != 2)
    blind = Interactions(kept, data.user_ids, data.item_ids)
    params = DistillCFParams(**QUICK)
    assert fingerprint(distill_cf(data, params, Context())) == fingerprint(distill_cf(blind, params, Context()))


def test_defaults_deliver_8_bit_soft_and_hard_forms() -> None:
    summary = distill_cf(two_clusters(), DistillCFParams(budget=6, steps=10), Context())
    assert summary.form == "soft8"
    assert set(summary.forms) == {"soft", "hard"}
    assert not summary.real_rows
    assert set(np.unique(summary.hard.data)) == {1.0}
    lengths = np.diff(summary.hard.indptr)
    soft = np.asarray(summary.forms["soft"].sum(axis=1)).ravel()
    assert np.abs(lengths - soft).max() <= 1.0


def test_hard_training_delivers_hard_rows_of_the_asked_length() -> None:
    params = DistillCFParams(**QUICK, train_hard=True, hard_events=5)
    summary = distill_cf(two_clusters(), params, Context())
    assert summary.form == "hard"
    assert np.diff(summary.rows.indptr).tolist() == [5] * 6
    assert summary.origin.best_step > 6


def test_ranked_rows_keep_the_largest_and_share_the_mean_curve() -> None:
    rows = torch.tensor([[0.9, 0.1, 0.5, 0.0], [0.2, 0.3, 0.0, 0.7]])
    found = cf.ranked_rows(rows, 2)
    expected = torch.tensor([[0.8, 0, 0.4, 0], [0, 0.4, 0, 0.8]])
    torch.testing.assert_close(found, expected, atol=3e-4, rtol=0)
    assert torch.equal(cf.ranked_rows(found, 2), found)


def test_ranked_rows_of_two_lengths_share_one_falling_curve() -> None:
    rows = torch.tensor([[0.9, 0.1, 0.5, 0.05], [0.2, 0.3, 0.35, 0.7], [0.6, 0.0, 0.01, 0.2]])
    found = cf.ranked_rows(rows, 2, 1)
    first, second = 2.2 / 3, 1.05 / 3  # the third place is that of the second row alone, 0.3
    expected = torch.tensor([[first, 0, second, 0], [0, 0.3, second, first], [first, 0, 0, second]])
    torch.testing.assert_close(found, expected, atol=3e-4, rtol=0)
    assert torch.equal(cf.ranked_rows(found, 2, 1), found)
    high = torch.tensor([[0.9, 0.9, 0.9], [0.5, 0.1, 0.0], [0.5, 0.1, 0.0]])
    found = cf.ranked_rows(high, 2, 1)  # the mean of the second place is below what the longer row has in its third
    assert sorted(found[0].tolist(), reverse=True) == found[0].tolist()
    assert float(found[0, 2]) == float(found[0, 1])


@pytest.mark.parametrize("budget", ["400B", "55%", "939B", "1201B"])
def test_ranked_rows_fill_a_budget_in_bytes(budget: str) -> None:
    data = two_clusters(users=120, items=60, per_user=12)
    params = DistillCFParams(**QUICK | {"budget": budget}, export="ranked")
    summary = distill_cf(data, params, Context())
    source = 4 + 4 * 120 + 2 * data.train.nnz
    limit = int(budget[:-1]) if budget.endswith("B") else int(0.55 * source)
    size = plain_bytes(arrays(summary.delivered()["ranked"], "ranked"))
    k = np.diff(summary.rows.indptr)
    assert np.ptp(k) <= 1
    assert limit - 4 < size <= limit, "no item more would fit, nor a place of the curve with one"
    assert np.diff(summary.hard.indptr).tolist() == k.tolist()


def test_ranked_rows_of_given_length_or_number() -> None:
    data = two_clusters(users=120, items=60, per_user=12)
    rows, k, longer = ranked_shape(DistillCFParams(budget="800B", ranked_events=9), data.training(), 60)
    assert not longer
    assert (k, 4 + 2 * k + rows * (4 + 2 * k)) == (9, 4 + 18 + 22 * (778 // 22))
    assert ranked_shape(DistillCFParams(budget=30, ranked_events=9), data.training(), 60) == (30, 9, 0)


def test_ranked_run_stopped_and_resumed_gives_the_same_bytes() -> None:
    data = two_clusters()
    params = DistillCFParams(**QUICK, export="ranked", ranked_events=6)
    whole = fingerprint(distill_cf(data, params, Context()))
    for step in (2, 8, 11):
        ctx = StoppedAt(step)
        with pytest.raises(Cancelled):
            distill_cf(data, params, ctx)
        again = Context()
        again._points.update(ctx._points)
        assert fingerprint(distill_cf(data, params, again)) == whole, step


def test_straight_through_is_hard_forward_and_soft_backward() -> None:
    soft = torch.tensor([[0.1, 0.7, 0.7, 0.2]], requires_grad=True)
    hard = cf.straight_through(soft, cf.top_events(soft.detach(), torch.tensor([2])))
    assert hard.detach().tolist() == [[0, 1, 1, 0]]
    hard.backward(torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    assert soft.grad.tolist() == [[1.0, 2.0, 3.0, 4.0]]


def test_only_popular_items_are_distilled_when_max_items_is_less() -> None:
    ctx = Context()
    summary = distill_cf(two_clusters(), DistillCFParams(**QUICK, max_items=12), ctx)
    assert summary.rows.shape == (6, 20)
    assert len(np.unique(summary.rows.indices)) <= 12
    assert any("12 most popular of 20 items" in warning for warning in ctx.warnings)


def test_validation_metrics_equal_those_of_the_judge() -> None:
    from worker.kinds.interactions.learners.infinite_ae import InfiniteAE
    from worker.kinds.interactions.metrics import evaluate

    data = two_clusters()
    rows = distill_cf(data, DistillCFParams(**QUICK, quantize="none", soft_eps=0), Context()).rows
    queries = data.queries("validation")
    judged = evaluate(InfiniteAE(lam=0.5).fit(rows), queries, np.asarray(data.train.sum(axis=0)).ravel())
    validator = cf.Validator(queries.inputs, queries.targets, (0.5,), data.n_items, 1)
    found = validator(torch.from_numpy(rows.toarray())).metrics
    for name, value in found.items():
        if int(name.split("@")[1]) <= data.n_items:
            assert value == pytest.approx(float(judged[name].mean()), abs=1e-6)


def test_already_seen_target_can_not_be_hit() -> None:
    scores = torch.tensor([[-torch.inf, 3.0, 2.0]])
    metrics = cf.ranking_metrics(scores, torch.tensor([[1.0, 0.0, 0.0]]))
    assert metrics["hr@10"] == 0.0


@pytest.mark.parametrize("start", ["users", "head", "random"])
def test_initial_logits_start_where_asked(start: str) -> None:
    rows = two_clusters().training_rows()
    logits = cf.initial_logits(rows, 5, start=start, noise=0.0, seed=1)
    assert logits.shape == (5, 20)
    real = {row.tobytes() for row in rows.toarray().astype(np.float32)}
    assert all((row.tobytes() in real) == (start != "random") for row in logits)


def test_dense_size_over_the_limit_is_refused_with_what_to_lower() -> None:
    with pytest.raises(JobError) as refused:
        guard_size(5000, DENSE_LIMIT // 1000)
    assert refused.value.code == "budget_too_large"
    assert "max_items" in refused.value.hint
    assert "budget" in refused.value.hint


def test_row_mass_over_the_number_of_items_is_refused() -> None:
    with pytest.raises(JobError) as refused:
        distill_cf(two_clusters(), DistillCFParams(budget=6, row_mass=100), Context())
    assert refused.value.pointer == "/params/row_mass"


@pytest.mark.parametrize("budget", [1, 60, "500%"])
def test_budget_outside_the_dataset_is_refused(budget: int | str) -> None:
    with pytest.raises(JobError) as refused:
        distill_cf(two_clusters(), DistillCFParams(budget=budget), Context())
    assert refused.value.code in ("budget_too_small", "budget_too_large")


@pytest.mark.parametrize("wrong", [{"tau": 0.01}, {"draws": 501}, {"lr": 0.5}, {"steps": 9}, {"rho": -1}, {"who": 1}])
def test_parameters_out_of_bounds_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        DistillCFParams(**wrong)


def test_divergence_is_a_job_error_that_names_the_step_size() -> None:
    data = two_clusters()
    targets = cf.merge_equal_rows(data.training_rows())
    recipe = choose_recipe(DistillCFParams(**QUICK), users=6, items=20, mean_events=5)
    broken = np.full((6, 20), np.nan, np.float32)
    with pytest.raises(JobError) as failed:
        distil_loop.learn(distil_loop.Progress.begin(Context(), broken), targets, None, recipe, Context())
    assert failed.value.code == "diverged"
    assert failed.value.pointer == "/params/lr"


def test_dataset_without_validation_is_distilled_with_a_warning() -> None:
    data = two_clusters()
    events = data.events
    blind = Interactions(events.take(events.split != 1), data.user_ids, data.item_ids)
    ctx = Context()
    summary = distill_cf(blind, DistillCFParams(**QUICK), ctx)
    assert summary.rows.shape == (6, 20)
    assert any("no validation events" in warning for warning in ctx.warnings)


@pytest.mark.slow
def test_50_rows_of_magazine_beat_50_random_users_on_validation() -> None:
    data = official("amazon-magazine")
    queries = data.queries("validation")
    grid = (1e-3, 0.01, 0.1, 1.0, 5.0, 20.0, 50.0)
    validator = cf.Validator(queries.inputs, queries.targets, grid, data.n_items, 1)
    learned = distill_cf(data, DistillCFParams(budget=50, steps=120), Context()).rows
    random = random_users(data, RandomUsersParams(budget=50), Context()).rows
    hr = [validator(torch.from_numpy(rows.toarray())).metrics["hr@100"] for rows in (learned, random)]
    assert hr[0] > hr[1] + 0.05
