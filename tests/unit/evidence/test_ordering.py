"""Kendall's tau-b and the regret of the summary's favourite, over configurations that tuning tried anyway."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kendalltau

from tests.unit.evidence.made_up import JOB, LEARNERS, measurements, result
from worker.evidence.conclude import conclude
from worker.evidence.measurements import Measurements, Metric, Ratio, Tried
from worker.evidence.ordering import kendall, ordering

UNITS = 80


def ranked(full: list[float], summary: list[float], *, noise: float = 0.01, bare: bool = False) -> Measurements:
    """Two learners whose configurations have these validation levels on the full data and on the summary."""
    shared = np.random.default_rng(0).normal(0, 0.1, UNITS)

    def tried(levels: list[float], first: int, seed: int) -> tuple[Tried, ...]:
        rng = np.random.default_rng(seed)
        found: list[Tried] = []
        for i, level in enumerate(levels):
            own = rng.normal(0, noise, UNITS)
            scores = level + shared - shared.mean() + own - own.mean()
            found.append(Tried({"lambda": float(first + i)}, level if bare else scores))
        return tuple(found)

    half = len(full) // 2
    results = [
        result(learner, name, np.ones(2000), tried=tried(levels[part], 0, seed + own))
        for name, levels, seed in (("full", full, 1), ("summary", summary, 2))
        for learner, part, own in (("ease", slice(0, half), 0), ("ae", slice(half, None), 10))
    ]
    floor = result("popularity", "full", np.ones(2000), tried=(Tried({}, 0.9),))
    return measurements({}, results=(floor, replace(floor, set="summary"), *results))


LEVELS = [0.10, 0.22, 0.13, 0.31, 0.18, 0.27, 0.05, 0.36, 0.24, 0.29, 0.33, 0.15]


def test_equal_rankings_have_a_tau_of_one_and_no_regret() -> None:
    found = ordering(ranked(LEVELS, [level / 2 for level in LEVELS], noise=0.0), "summary")
    assert len(found.configurations) == 12, "floors are left out"
    assert found.tau.value == 1.0
    assert (found.tau.low, found.tau.high) == (1.0, 1.0)
    assert found.regret.value == 0.0
    assert found.regret_share == 0.0
    assert found.full_favourite == found.summary_favourite


def test_reversed_rankings_have_a_tau_of_minus_one_and_the_whole_regret() -> None:
    found = ordering(ranked(LEVELS, [1 - level for level in LEVELS]), "summary")
    assert found.tau.value == -1.0
    assert found.regret.value == pytest.approx(0.36 - 0.05)
    assert found.regret_share == pytest.approx(0.31 / 0.36)
    assert found.regret.low < 0.31 < found.regret.high
    assert (found.summary_favourite.learner, found.summary_favourite.settings["lambda"]) == ("ae", 0.0)


def test_interval_of_tau_widens_with_the_noise_of_validation_units() -> None:
    other = [level + shift for level, shift in zip(LEVELS, [0.03, -0.03] * 6, strict=True)]
    calm, loud = (ordering(ranked(LEVELS, other, noise=noise), "summary").tau for noise in (0.02, 0.4))
    assert calm.low <= calm.value <= calm.high < 1
    assert loud.width > 1.5 * calm.width
    assert calm.n == UNITS


def test_too_few_common_configurations_are_undetermined_with_their_count() -> None:
    found = ordering(ranked(LEVELS[:10], LEVELS[:10]), "summary")
    assert found.to_json()["status"] == "undetermined"
    assert found.to_json()["configurations"] == 10
    assert found.tau is None


def test_settings_tried_on_one_side_only_do_not_count() -> None:
    m = ranked(LEVELS, LEVELS)
    extra = Tried({"lambda": 77.0}, np.ones(UNITS))
    m = replace(m, results=tuple(replace(r, tried=(*r.tried, extra)) if r.set == "full" else r for r in m.results))
    assert len(ordering(m, "summary").configurations) == 12


def test_first_draw_and_seed_are_what_is_ranked() -> None:
    m = ranked(LEVELS, LEVELS)
    other = [replace(r, seed=3, tried=r.tried[::-1]) for r in m.results]
    again = ordering(replace(m, results=(*other, *m.results)), "summary")
    assert again == ordering(m, "summary")


def test_bare_validation_numbers_have_a_tau_without_an_interval() -> None:
    found = ordering(ranked(LEVELS, LEVELS, bare=True), "summary")
    assert found.tau.value == 1.0
    assert np.isnan(found.tau.low)


def test_regret_where_lower_is_better_is_what_the_metric_rises_by() -> None:
    m = replace(ranked(LEVELS, [1 - level for level in LEVELS]), metrics=(Metric("ndcg@10", "error", "", 1.0, False),))
    found = ordering(m, "summary")
    assert found.full_favourite.full == pytest.approx(0.05)
    assert found.regret.value == pytest.approx(0.31)
    assert found.regret.low > 0


def test_validation_scores_that_are_sums_over_sums_are_ranked_by_their_ratio() -> None:
    m = ranked(LEVELS, LEVELS)
    size = np.random.default_rng(0).integers(1, 9, UNITS).astype(float)
    results = tuple(
        replace(r, tried=tuple(Tried(t.settings, Ratio(np.asarray(t.validation) * size, size)) for t in r.tried))
        if r.learner != "popularity"
        else r
        for r in m.results
    )
    assert ordering(replace(m, results=results), "summary").tau.value > 0.95


@pytest.mark.parametrize("seed", range(5))
def test_tau_is_that_of_scipy_ties_included(seed: int) -> None:
    x, y = np.random.default_rng(seed).integers(0, 6, (2, 25)).astype(float)
    assert kendall(x, y) == pytest.approx(kendalltau(x, y, variant="b").statistic)


def test_tau_of_what_is_all_ties_is_undefined() -> None:
    assert np.isnan(kendall(np.ones(5), np.arange(5.0)))


def test_key_figures_plot_and_json_carry_the_ordering() -> None:
    found = conclude(ranked(LEVELS, [1 - level for level in LEVELS]), JOB)
    figures = {one.label: one for one in found.key_figures}
    tau = figures["ordering of configurations, Kendall's tau\u2011b"]
    assert tau.value == "\u22121.00"
    assert "over 12 configurations" in tau.small
    lost = figures["lost in validation nDCG@10 by taking the summary's favourite"]
    assert lost.value.startswith("31.0")
    assert lost.small == "86.1\u202f% of the best"
    plot = next(plot for plot in found.plots if plot.name == "ordering")
    assert [series.label for series in plot.series] == ["EASE", "∞-AE"]
    assert sum(len(series.x) for series in plot.series) == 12
    assert found.verdict.details["ordering"]["tau"]["value"] == -1.0
    assert found.verdict.details["ordering"]["regret_share"] == pytest.approx(0.31 / 0.36)


def test_key_figure_of_too_few_configurations_says_how_many_are_needed() -> None:
    figures = conclude(measurements(), JOB).key_figures
    found = next(one for one in figures if one.label.startswith("ordering"))
    assert (found.value, found.small) == ("undetermined", "6 tried on both, 12 needed")
    assert LEARNERS[0].floor


def test_ordering_when_no_configuration_can_be_told_from_the_best_then_is_undetermined_and_not_drawn() -> None:
    close = [0.2 + 0.0001 * i for i in range(12)]
    found = conclude(ranked(close, close, noise=0.3), JOB)
    one = next(one for one in found.key_figures if one.label.startswith("ordering"))
    assert (one.value, one.small) == ("undetermined", "the 12 tried do not differ by more than noise")
    assert 8 <= found.verdict.details["ordering"]["as_good_as_the_best"] <= 12
    assert "ordering" not in {plot.name for plot in found.plots}


def test_plot_of_the_ordering_when_drawn_then_shows_each_distance_to_the_favourite_with_its_interval() -> None:
    found = conclude(ranked(LEVELS, LEVELS[::-1], noise=0.05), JOB)
    series = next(plot for plot in found.plots if plot.name == "ordering").series
    full = [x for one in series for x in one.x]
    assert full == pytest.approx([100 * (level - max(LEVELS)) for level in LEVELS])
    assert max(y for one in series for y in one.y) == 0, "the summary's own favourite"
    for one in series:
        ends = zip(one.x_low, one.x, one.x_high, strict=True)
        assert all(low < value < high or low == value == high == 0 for low, value, high in ends)


def test_regret_when_its_interval_holds_zero_then_is_called_noise() -> None:
    near = [0.331 if level == max(LEVELS) else level for level in LEVELS]  # beside 0.33, which the summary takes
    found = conclude(ranked(near, [0.40 if level == 0.33 else level for level in LEVELS], noise=0.2), JOB)
    lost = next(one for one in found.key_figures if one.label.startswith("lost in validation"))
    assert lost.small == "within the noise of validation"
