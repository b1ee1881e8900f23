"""The intervals cover what they promise, pairing pays, and neither order nor number of blocks changes a digit."""

from __future__ import annotations

import time
import zlib

import numpy as np
import pytest

from worker.evidence import statistics
from worker.evidence.measurements import Pooled, Ratio, Scores
from worker.evidence.statistics import Estimate, Resampled, average, interval, picks, resample, value_of


def quantities(scores: list[Scores], *, resamples: int = 1000, seed: int = 0) -> list[Resampled]:
    """Every score of a single training as a quantity."""
    drawn = resample(scores, resamples=resamples, seed=seed)
    return [Resampled(value_of(one), drawn[:, i], 0) for i, one in enumerate(scores)]


def estimates(scores: list[Scores], **options: int) -> list[Estimate]:
    return [one.estimate for one in quantities(scores, **options)]


def over_runs(runs: dict[tuple[int, int], np.ndarray], *, name: str = "set", resamples: int = 1000) -> Resampled:
    """A set trained several times, (draw, seed) -> scores."""
    columns = list(runs.values())
    drawn = resample(columns, resamples=resamples)
    return average([value_of(one) for one in columns], drawn, list(runs), name=name, n=len(columns[0]))


@pytest.mark.parametrize("draw", ["normal", "exponential", "bernoulli"])
def test_bootstrap_of_a_known_mean_covers_it_in_about_95_percent(draw: str) -> None:
    rng = np.random.default_rng(1)
    sample, mean = {
        "normal": (lambda: rng.normal(3.0, 2.0, 150), 3.0),
        "exponential": (lambda: rng.exponential(2.0, 150), 2.0),
        "bernoulli": (lambda: (rng.random(150) < 0.3).astype(float), 0.3),
    }[draw]
    hits = 0
    for trial in range(300):
        (found,) = estimates([sample()], resamples=300, seed=trial)
        hits += found.low <= mean <= found.high
    assert 0.90 <= hits / 300 <= 0.985


def test_bootstrap_width_of_a_normal_mean_is_that_of_theory() -> None:
    values = np.random.default_rng(0).normal(0, 1, 4000)
    (found,) = estimates([values], resamples=4000)
    assert found.width == pytest.approx(2 * 1.96 * values.std() / np.sqrt(4000), rel=0.06)


def test_paired_difference_is_narrower_than_an_unpaired_one() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 1, 500)
    noise = rng.normal(0, 0.1, (2, 500))
    a, b = shared + noise - noise.mean(axis=1, keepdims=True)
    first, second = quantities([5 + a, 4 + b], seed=1)
    paired = (first - second).estimate
    unpaired = np.hypot(first.estimate.width, second.estimate.width)
    assert paired.width < 0.2 * unpaired
    assert paired.low < 1 < paired.high


def test_ratio_covers_the_true_ratio_when_pairs_are_drawn_anew() -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for trial in range(200):
        base = rng.gamma(2.0, 1.0, 200)
        full, part = quantities([base, 0.8 * base * rng.uniform(0.5, 1.5, 200)], resamples=300, seed=trial)
        found = (part / full).estimate
        hits += found.low <= 0.8 <= found.high
    assert 0.89 <= hits / 200 <= 0.99


def test_ratio_of_equal_columns_is_exactly_one() -> None:
    values = np.random.default_rng(0).random(777)
    a, b = quantities([values, values.copy()])
    found = (a / b).estimate
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


def test_ratio_to_a_base_of_zero_is_undefined() -> None:
    a, b = quantities([np.ones(10), np.zeros(10)])
    found = (a / b).estimate
    assert np.isnan(found.value)
    assert np.isnan(found.low)


def test_interval_of_one_column_is_that_of_weighted_means_written_out() -> None:
    values = np.random.default_rng(3).random(50)
    rng = np.random.default_rng([7, 0])
    means = [np.bincount(rng.integers(0, 50, 50), minlength=50) @ values / 50 for _ in range(200)]
    (found,) = estimates([values], resamples=200, seed=7)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), rel=1e-12)


def test_ratio_of_sums_is_resampled_as_a_ratio_of_sums() -> None:
    rng = np.random.default_rng(3)
    bits, size = rng.gamma(2.0, 300.0, 80), rng.integers(50, 500, 80).astype(float)
    drawn = resample([Ratio(bits, size)], resamples=100, seed=2)[:, 0]
    again = np.random.default_rng([2, 0])
    weights = [np.bincount(again.integers(0, 80, 80), minlength=80) for _ in range(100)]
    assert drawn == pytest.approx([w @ bits / (w @ size) for w in weights])
    assert value_of(Ratio(bits, size)) == pytest.approx(bits.sum() / size.sum())


def test_bare_number_has_a_value_and_no_interval() -> None:
    bare, array = estimates([0.25, np.ones(10)])
    assert bare.value == 0.25
    assert np.isnan(bare.low)
    assert (array.low, array.high) == (1.0, 1.0)
    (alone,) = estimates([0.25])
    assert alone.value == 0.25
    assert np.isnan(alone.high)


def test_seeds_that_differ_widen_the_interval() -> None:
    units = np.random.default_rng(0).normal(0, 0.1, 400)
    steady = over_runs({(0, seed): units for seed in range(5)})
    shaky = over_runs({(0, seed): units + shift for seed, shift in enumerate((-0.4, -0.2, 0.0, 0.2, 0.4))})
    assert shaky.estimate.width > 5 * steady.estimate.width
    assert (shaky.estimate.seeds, shaky.estimate.draws) == (5, 1)


def test_equal_seeds_are_paired_across_sets_so_what_they_share_cancels() -> None:
    units = np.random.default_rng(0).normal(0, 0.1, 400)
    shifts = {3: -0.4, 5: 0.0, 9: 0.4}
    a = over_runs({(0, seed): units + shift + 0.1 for seed, shift in shifts.items()}, name="a")
    b = over_runs({(0, seed): units + shift for seed, shift in reversed(shifts.items())}, name="b")
    assert (a - b).estimate.width < 1e-12
    assert (a - b).estimate.value == pytest.approx(0.1)
    other = over_runs({(0, seed + 100): units + shift for seed, shift in shifts.items()}, name="b")
    assert (a - other).estimate.width > 0.3


def test_seeds_that_are_missing_on_one_side_leave_the_others_paired() -> None:
    units = np.random.default_rng(0).normal(0, 0.1, 400)
    shifts = {0: -0.4, 1: -0.1, 2: 0.1, 3: 0.4}
    a = over_runs({(0, seed): units + shift for seed, shift in shifts.items()}, name="a")
    part = over_runs({(0, seed): units + shifts[seed] for seed in (0, 1, 2)}, name="b")
    stranger = over_runs({(0, seed + 50): units + shifts[seed] for seed in (0, 1, 2)}, name="b")
    assert np.std((a - part).values) < 0.8 * np.std((a - stranger).values)


def test_draws_of_one_set_are_picked_alike_for_all_learners_and_apart_from_other_sets() -> None:
    units = np.random.default_rng(0).normal(0, 0.1, 400)
    runs = {(draw, 0): units + shift for draw, shift in enumerate((-0.4, 0.0, 0.4))}
    one, same, other = (over_runs(runs, name=name) for name in ("random", "random", "second"))
    assert (one - same).estimate.width == 0
    assert (one - other).estimate.width > 0.3
    assert (one.draws, one.seeds) == (3, 1)


def test_order_of_runs_changes_no_digit() -> None:
    rng = np.random.default_rng(0)
    runs = {(draw, seed): rng.random(100) for draw in range(3) for seed in range(2)}
    shuffled = dict(sorted(runs.items(), key=lambda item: (item[0][1], -item[0][0])))
    first, second = over_runs(runs), over_runs(shuffled)
    assert list(runs) != list(shuffled)
    assert first.values == pytest.approx(second.values, rel=1e-13)
    assert first.estimate.low == pytest.approx(second.estimate.low, rel=1e-13)


def test_runs_that_do_not_fill_the_grid_still_have_an_interval() -> None:
    rng = np.random.default_rng(0)
    found = over_runs({(0, 0): rng.random(50), (1, 1): rng.random(50)}).estimate
    assert np.isfinite(found.low)
    assert found.low < found.value < found.high


def test_picks_are_as_many_as_ids_and_each_id_is_as_likely() -> None:
    found = picks([4, 7, 11], 4000, (0, 1))
    assert (found.sum(axis=1) == 3).all()
    assert found.mean(axis=0) == pytest.approx([1, 1, 1], abs=0.05)
    assert found.var(axis=0) == pytest.approx([2 / 3] * 3, abs=0.06), "binomial(3, 1/3)"


def test_picks_written_out() -> None:
    stream = (5, 2, zlib.crc32(b"random"))
    numbers = np.stack([np.random.default_rng([*stream, i]).random((2, 30)) for i in (0, 1)])
    first = (numbers[0] < numbers[1]).sum(axis=0)
    assert np.array_equal(picks([0, 1], 30, stream), np.stack([first, 2 - first], axis=1))


def test_bootstrap_with_the_same_seed_repeats_itself_and_with_another_does_not() -> None:
    values = np.random.default_rng(0).random(50)
    first, again, other = (resample([values], resamples=20, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_blocks_of_bounded_memory_give_the_same_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 90)
    scores: list[Scores] = [rng.random(90), Ratio(rng.random(90), rng.random(90)), rng.random(90)]
    scores += [Pooled("auc", {"label": label, "score": rng.random(90)})]
    whole = resample(scores, resamples=50)
    monkeypatch.setattr(statistics, "_WEIGHTS_AT_ONCE", 700)
    monkeypatch.setattr(statistics, "_COLUMNS_AT_ONCE", 2)
    assert resample(scores, resamples=50) == pytest.approx(whole, rel=1e-12)


def test_columns_over_other_units_are_refused() -> None:
    with pytest.raises(ValueError, match="same test units"):
        resample([np.ones(10), np.ones(11)])
    with pytest.raises(ValueError, match="same test units"):
        resample([np.ones(10), Ratio(np.ones(10), np.ones(9))])


def test_no_units_and_no_scores_give_no_interval() -> None:
    assert np.isnan(resample([np.ones(0)], resamples=5)).all()
    assert resample([], resamples=5).shape == (5, 0)


def test_interval_of_draws_that_are_not_finite_is_undefined() -> None:
    assert np.isnan(interval(np.array([1.0, np.inf]))).all()


def test_sixty_columns_of_thirty_thousand_units_take_seconds() -> None:
    columns: list[Scores] = [np.random.default_rng(i).random(30_000) for i in range(60)]
    started = time.perf_counter()
    found = resample(columns, resamples=1000)
    assert found.shape == (1000, 60)
    assert np.isfinite(found).all()
    assert time.perf_counter() - started < 50, "a guard against hanging"
