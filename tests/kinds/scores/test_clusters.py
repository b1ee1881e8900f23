"""Runs that are alike, or the same: they are no evidence of as many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.kinds.scores.planted import rows
from tests.kinds.scores.test_transfer import benchmarks, compared, loaded, table_of
from worker.kinds.scores.clusters import copies, inflation, intraclass
from worker.kinds.scores.correlation import midranks
from worker.kinds.scores.intervals import interval, resamples_of
from worker.kinds.scores.permutation import p_value
from worker.kinds.scores.words import Rule, judge


def test_intraclass_correlation_is_the_share_of_variance_between_groups():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(400), 3)
    values = rng.standard_normal(400)[group] * 2 + rng.standard_normal(1200)
    assert intraclass(values, group) == pytest.approx(0.8, abs=0.04)
    assert intraclass(rng.standard_normal(1200), group) < 0.06
    assert intraclass(np.ones(6), np.repeat([0, 1], 3)) == 0


def test_groups_of_one_and_a_single_group_inflate_nothing_and_groups_of_copies_by_their_size():
    x = np.repeat([0.1, 0.5, 0.3], 5)
    assert inflation(x, x, ["", "", ""] * 5) == 1
    assert inflation(x, x, ["a"] * 15) == 1
    assert inflation(x, x, [*"abcdefghijklmno"]) == 1
    assert inflation(x, x, [*"aaaaabbbbbccccc"]) == pytest.approx(5)


def test_inflation_is_that_of_the_variance_of_a_correlation_of_unrelated_scores():
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(12), 4)
    names = [str(one) for one in group]
    x, y = (rng.standard_normal((2000, 12))[:, group] + 0.5 * rng.standard_normal((2000, 48)) for _ in range(2))
    r = [float(np.corrcoef(a, b)[0, 1]) for a, b in zip(x, y, strict=True)]
    expected = np.mean([inflation(a, b, names) for a, b in zip(x[:200], y[:200], strict=True)])
    assert np.var(r) * 47 == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize(("mixtures", "seeds"), [(3, 5), (4, 6)])
def test_tables_of_noise_whose_runs_come_in_groups_hold_a_reliable_benchmark_at_most_once_in_twenty(
    mixtures: int, seeds: int
):
    claimed = {True: 0, False: 0}
    groups = [str(one) for one in np.repeat(np.arange(mixtures), seeds)]
    for table in range(120):
        rng = np.random.default_rng(table)
        weights = resamples_of(len(groups), 200, rng)
        x, y = (
            np.repeat(rng.standard_normal(mixtures), seeds) + 0.1 * rng.standard_normal(len(groups)) for _ in range(2)
        )
        p = p_value(x, y, 200, table)
        for known in claimed:
            named = groups if known else [""] * len(groups)
            r, rho = (
                interval(name, x, y, weights, inflation=inflation(a, b, named))
                for name, a, b in (("pearson", x, y), ("spearman", midranks(x), midranks(y)))
            )
            claimed[known] += judge([r], [rho], [p], Rule())[0].word == "reliable"
    assert claimed[True] <= 6 < claimed[False]


def test_seeds_under_names_of_their_own_make_nothing_reliable_and_the_report_says_why(tmp_path: Path):
    rng = np.random.default_rng(0)
    table = []
    for mixture, (a, b) in {"web": (0.4, 0.5), "code": (0.5, 0.6), "books": (0.6, 0.7)}.items():
        for seed in range(5):
            for stage, value in (("first", a), ("second", b)):
                place = {"run": f"{mixture}{seed}", "stage": stage, "benchmark": "b", "mixture": mixture}
                table.append(place | {"metric": "accuracy", "value": value + 0.002 * rng.standard_normal()})
    found = compared(loaded(tmp_path, table))
    assert benchmarks(found)["b"]["word"] == "undetermined"
    assert any("15 runs of a benchmark tell as much as 5" in one for one in found.warnings)


def test_copies_of_runs_are_left_out(tmp_path: Path):
    table = rows(runs=6, each=2)
    copied = [row | {"run": f"{row['run']}-{again}"} for row in table for again in range(4)]
    once, often = (compared(loaded(tmp_path, one)) for one in (table, copied))
    assert {name: one["word"] for name, one in benchmarks(often).items()} == {
        name: one["word"] for name, one in benchmarks(once).items()
    }
    assert {one["runs"] for one in benchmarks(often).values()} == {6}
    assert any("18 runs have the very scores of another" in one for one in often.warnings)


def test_equal_scores_at_one_stage_are_no_copies():
    first = np.array([[0.1, 0.2], [0.1, 0.2], [0.1, np.nan], [0.1, np.nan]])
    second = np.array([[0.3, 0.4], [0.3, 0.5], [0.3, 0.4], [0.3, 0.4]])
    assert copies(first, second).tolist() == [False, False, False, True]


def test_noise_of_a_metric_that_is_no_share_is_not_made_up(tmp_path: Path):
    table = [row | {"metric": "f1"} for row in rows(runs=8, each=1) if row["metric"] == "accuracy"]
    assert not any(one.name == "noise" for one in compared(loaded(tmp_path, table)).tables)
    shares = [row for row in rows(runs=8, each=1) if row["metric"] == "accuracy"]
    assert table_of(compared(loaded(tmp_path, shares)), "noise")
