"""The rule of the words: right on what was planted, and rarely wrong on noise of any sort."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from tests.kinds.scores.judged import judged
from tests.kinds.scores.planted import SORTS, noise, scores
from tests.kinds.scores.test_correlation import A, B
from worker.kinds.scores.false_discovery import adjusted
from worker.kinds.scores.intervals import fisher
from worker.kinds.scores.words import enough


def table(seed: int, runs: int, rho: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Scores (runs, K) of benchmarks with these true correlations."""
    rng = np.random.default_rng([seed, runs])
    pairs = [scores(rng, one, runs) for one in rho]
    return np.stack([one[0] for one in pairs], axis=1), np.stack([one[1] for one in pairs], axis=1)


def test_planted_tables_get_the_three_words_that_are_right():
    words: Counter[tuple[int, str]] = Counter()
    for seed in range(40):
        for at, one in enumerate(judged(*table(seed, 14, [0.99, -0.99, 0.0]), seed)):
            words[at, one.word] += 1
            assert one.reversing == (one.word == "unreliable" and at == 1) or at == 2
    assert words[0, "reliable"] >= 39
    assert words[1, "unreliable"] == 40
    assert words[2, "undetermined"] >= 32
    assert words[2, "reliable"] == 0


def test_leaving_out_what_cannot_change_a_word_changes_none():
    for seed in range(6):
        tables = table(seed, 6 + seed, [0.99, -0.9, 0.9, 0.6, 0.0])
        assert [one.word for one in judged(*tables)] == [one.word for one in judged(*tables, every=True)]


@pytest.mark.parametrize(
    ("sort", "count", "tables"),
    [("normal", 1, 200), *((sort, 1, 200) for sort in SORTS[1:]), ("normal", 20, 40), ("common factor", 20, 40)],
)
def test_tables_of_noise_hold_a_reliable_benchmark_at_most_once_in_twenty(sort: str, count: int, tables: int):
    """Of 5 to 9 runs; the rate is per table, whether it has one benchmark or 20."""
    _count_wrong_tables(sort, count, tables)


@pytest.mark.slow
@pytest.mark.parametrize("sort", SORTS)
def test_two_hundred_tables_of_noise_on_twenty_benchmarks_hold_a_reliable_one_at_most_once_in_twenty(sort: str):
    _count_wrong_tables(sort, 20, 200)


def _count_wrong_tables(sort: str, count: int, tables: int) -> None:
    wrong = 0
    for seed in range(tables):
        rng = np.random.default_rng([seed, count])
        words = judged(*noise(sort, rng, 5 + seed % 5, count), seed)
        wrong += any(one.word == "reliable" for one in words)
    assert wrong <= tables * 0.05


def test_benchmarks_at_the_level_itself_are_rarely_called_reliable():
    words = [one.word for seed in range(200) for one in judged(*table(seed, 5 + seed % 5, [0.3]), seed)]
    assert words.count("reliable") <= 10


def test_with_fewer_than_five_runs_there_is_no_verdict():
    x = np.arange(4.0)[:, None]
    (one,) = judged(x, 2 * x)
    assert (one.word, one.q_above) == ("undetermined", pytest.approx(np.nan, nan_ok=True))
    assert "fewer than 5" in one.reason


def test_a_constant_benchmark_is_undetermined_with_its_reason_and_is_no_test_among_the_others():
    first, second = table(0, 14, [0.99, 0.99])
    first[:, 1] = 0.25
    follows, constant = judged(first, second)
    assert follows.word == "reliable"
    assert follows.q_above == judged(first[:, :1], second[:, :1])[0].q_above
    assert constant.word == "undetermined"
    assert "all the same" in constant.reason


def test_a_single_outlier_makes_no_benchmark_reliable():
    rng = np.random.default_rng(0)
    a, b = noise("one failed run", rng, 9, 1)
    assert np.corrcoef(a[:, 0], b[:, 0])[0, 1] > 0.8
    assert judged(a, b)[0].word == "undetermined"


def test_an_undetermined_benchmark_is_told_how_many_runs_would_settle_it():
    first, second = table(3, 9, [0.75])
    (one,) = judged(first, second)
    assert one.word == "undetermined"
    assert one.needed is not None
    assert one.needed > 9
    assert enough(0.3, 0.3, 0.3, 0.05) is None
    assert enough(0.9, 0.0, 0.3, 0.05) is None
    runs = enough(0.6, 0.6, 0.3, 0.05)
    assert runs is not None
    assert fisher("spearman", 0.6, runs)[0] > 0.3 >= fisher("spearman", 0.6, runs - 1)[0]


def test_where_only_the_bootstrap_is_too_wide_one_more_run_or_some_are_asked_for():
    (one,) = judged(A[:, None], B[:, None], resamples=2000)
    assert one.word == "undetermined"  # Fisher's intervals are clear of 0.3, and BCa's of rho is not
    assert one.needed in range(10, 15)


def test_many_benchmarks_of_noise_raise_what_is_asked_of_each():
    first, second = table(1, 12, [0.9] + [0.0] * 40)
    alone, among = judged(first[:, :1], second[:, :1])[0], judged(first, second)[0]
    assert among.q_above > alone.q_above


def test_adjusted_p_values_are_those_of_benjamini_and_hochberg():
    p = np.array([0.01, 0.04, 0.03, np.nan, 0.005])
    assert adjusted(p) == pytest.approx([0.02, 0.04, 0.04, np.nan, 0.02], nan_ok=True)
    assert np.isnan(adjusted(np.array([np.nan]))).all()
