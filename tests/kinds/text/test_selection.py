"""Who is a candidate, what fits into a size, and what is kept: the same whatever the order of the documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from tests.kinds.text.planted import jsonl, records
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.text.dataset import TRAIN, Corpus, load
from worker.kinds.text.ingest import ingest
from worker.kinds.text.methods.dedup_only import DedupOnlyParams, dedup_only
from worker.kinds.text.methods.import_scores import ImportScoresParams, import_scores
from worker.kinds.text.methods.random import RandomParams, random_documents
from worker.kinds.text.noise import gumbel, uniform
from worker.kinds.text.selection import SelectParams, candidates, top
from worker.kinds.text.sizes import filled, size_asked


def corpus(folder: Path, documents: list[dict[str, Any]], **options: Any) -> Corpus:
    folder.mkdir()
    (folder / "out").mkdir()
    ingest([("d.jsonl", jsonl(folder / "d.jsonl", documents))], options, folder / "out", Context(), {})
    return load(folder / "out")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return corpus(tmp_path_factory.mktemp("text") / "tiny", records(600))


def kept_ids(summary: Any) -> set[str]:
    rows = np.sort(summary.taken)
    return {name for batch in summary.corpus.read(rows, ("id",)) for name in batch.column(0).to_pylist()}


def test_candidates_when_copies_are_left_out_then_one_of_each_text_stays(data: Corpus):
    every = candidates(data, SelectParams(dedup="none", min_chars=0), Context())
    np.testing.assert_array_equal(every, data.rows(TRAIN))
    some = candidates(data, SelectParams(), Context())
    assert len(np.unique(data.hash[every])) == len(some) < len(every)
    long = candidates(data, SelectParams(min_chars=300), Context())
    assert data.chars[long].min() >= 300
    with pytest.raises(JobError, match="No training document is left"):
        candidates(data, SelectParams(min_chars=100_000), Context())


@pytest.mark.parametrize(
    ("given", "unit", "amount"),
    [
        ({"rate": 0.1}, "documents", lambda n, t, b: int(0.1 * n + 0.5)),
        ({}, "documents", lambda n, t, b: int(0.1 * n + 0.5)),
        ({"k": 7}, "documents", lambda n, t, b: 7),
        ({"budget": 9}, "documents", lambda n, t, b: 9),
        ({"budget": "20%"}, "documents", lambda n, t, b: round(0.2 * n)),
        ({"budget": "20%", "unit": "tokens"}, "tokens", lambda n, t, b: round(0.2 * t)),
        ({"rate": 0.3, "unit": "tokens"}, "tokens", lambda n, t, b: int(0.3 * t + 0.5)),
        ({"token_budget": 1234}, "tokens", lambda n, t, b: 1234),
        ({"budget": "5kB"}, "bytes", lambda n, t, b: 5000),
    ],
)
def test_size_when_given_in_any_form_then_comes_to(given: dict[str, Any], unit: str, amount: Any, data: Corpus):
    rows = candidates(data, SelectParams(), Context())
    size = size_asked(data, rows, SelectParams(**given))
    expected = amount(len(rows), int(data.tokens[rows].sum()), int(data.bytes[rows].sum()))
    assert (size.unit, size.amount) == (unit, expected)
    picked = top(data, rows, uniform(data.key[rows], 0), SelectParams(**given))
    taken = int(size.of(data, picked).sum())
    least = int(size.of(data, rows).min())
    assert size.amount - least < taken <= size.amount  # nothing that is left would fit


def test_size_when_a_rate_of_7627_then_rounded_half_up():
    class Counted:
        def __len__(self) -> int:
            return 7627

        tokens = bytes = np.ones(7627, np.int32)

    fake: Any = Counted()
    assert size_asked(fake, np.arange(7627), SelectParams(rate=0.1)).amount == 763
    assert size_asked(fake, np.arange(5), SelectParams(rate=0.5)).amount == 3
    assert size_asked(fake, np.arange(7627), SelectParams(rate=1.0)).amount == 7627


@pytest.mark.parametrize(
    ("given", "code", "pointer"),
    [
        ({"k": 10_000}, "budget_too_large", "/params/k"),
        ({"budget": 10_000}, "budget_too_large", "/params/budget"),
        ({"token_budget": 2}, "budget_too_small", "/params/token_budget"),
        ({"token_budget": 10**9}, "budget_too_large", "/params/token_budget"),
        ({"budget": "3B"}, "budget_too_small", "/params/budget"),
        ({"budget": "0.001%"}, "budget_too_small", "/params/budget"),
    ],
)
def test_size_when_impossible_then_refused_with_a_cure_that_works(
    given: dict[str, Any], code: str, pointer: str, data: Corpus
):
    with pytest.raises(JobError) as caught:
        random_documents(data, RandomParams(**given), Context())
    assert (caught.value.code, caught.value.pointer) == (code, pointer)
    assert "Ask for between" in caught.value.hint


@pytest.mark.parametrize("given", [{"rate": 0.1, "k": 5}, {"budget": 5, "token_budget": 100}, {"k": 0}, {"rate": 0}])
def test_size_when_two_or_none_then_not_valid(given: dict[str, Any]):
    with pytest.raises(ValidationError):
        SelectParams(**given)


def test_filled_when_one_is_too_large_then_passed_over():
    order = np.array([4, 2, 7, 1, 0])
    np.testing.assert_array_equal(filled(order, np.array([5, 9, 3, 4, 2]), 11), [4, 7, 0])
    np.testing.assert_array_equal(filled(order, np.array([5, 9, 3, 4, 2]), 23), order)
    assert len(filled(order, np.array([5, 9, 3, 4, 2]), 1)) == 0


def test_top_when_scores_tie_or_are_missing_then_keys_decide_and_gaps_stay_out(data: Corpus):
    rows = candidates(data, SelectParams(), Context())
    scores = np.zeros(len(rows))
    by_key = rows[np.argsort(data.key[rows], kind="stable")][:10]
    np.testing.assert_array_equal(top(data, rows, scores, SelectParams(k=10)), by_key)
    scores[np.isin(rows, by_key)] = np.nan
    assert not np.isin(top(data, rows, scores, SelectParams(k=10)), by_key).any()
    scores[:] = np.nan
    with pytest.raises(JobError, match="0 documents with a score"):
        top(data, rows, scores, SelectParams(k=10))


def test_top_when_scores_are_changed_by_a_monotone_map_then_keeps_the_same(data: Corpus):
    rows = candidates(data, SelectParams(), Context())
    scores = data.column("score_quality")[rows].astype(np.float64)
    kept = top(data, rows, scores, SelectParams(rate=0.2))
    np.testing.assert_array_equal(top(data, rows, np.exp(3 * scores), SelectParams(rate=0.2)), kept)


def test_top_when_sources_have_a_floor_then_each_keeps_its_share(data: Corpus):
    rows = candidates(data, SelectParams(), Context())
    scores = np.where(data.source[rows] == 0, 1.0, 0.0) + uniform(data.key[rows], 3) / 2
    free = top(data, rows, scores, SelectParams(rate=0.3))
    assert (data.source[free] == 0).mean() > 0.95
    floored = top(data, rows, scores, SelectParams(rate=0.3, group_floor=0.1))
    assert len(floored) == len(free)
    for source in range(3):
        share = (data.source[floored] == source).sum() / (data.source[rows] == source).sum()
        assert share >= 0.1
    ranks = scores[np.searchsorted(rows, floored)]
    assert (np.diff(ranks) <= 0).all()


def test_top_when_floors_cannot_be_kept_then_refused(data: Corpus):
    rows = candidates(data, SelectParams(), Context())
    scores = uniform(data.key[rows], 3)
    for given in ({"rate": 0.1}, {"rate": 0.1, "unit": "tokens"}, {"budget": "2kB"}):
        with pytest.raises(JobError, match=r"group_floor 0\.5 promises") as refused:
            top(data, rows, scores, SelectParams(group_floor=0.5, **given))
        assert refused.value.pointer == "/params/group_floor"
    scores[data.source[rows] == 1] = np.nan
    with pytest.raises(JobError, match="of which only"):
        top(data, rows, scores, SelectParams(k=60, group_floor=0.1))
    assert len(top(data, rows, uniform(data.key[rows], 3), SelectParams(rate=0.5, group_floor=0.07)))


def test_top_when_only_documents_without_a_score_are_short_enough_then_refused(data: Corpus):
    rows = candidates(data, SelectParams(), Context())
    tokens = data.tokens[rows]
    scores = np.where(tokens <= tokens.min() + 1, np.nan, 1.0)
    with pytest.raises(JobError, match="fits into") as refused:
        top(data, rows, scores, SelectParams(token_budget=int(tokens.min())))
    assert refused.value.code == "budget_too_small"


def test_random_when_drawn_then_uniform_and_by_the_seed(data: Corpus):
    counts = np.zeros(len(data))
    for seed in range(200):
        counts[random_documents(data, RandomParams(rate=0.25), Context(seed=seed)).taken] += 1
    rows = candidates(data, RandomParams(), Context())
    shares = counts[rows] / 200
    assert abs(shares.mean() - 0.25) < 0.005
    assert shares.max() < 0.25 + 5 * np.sqrt(0.25 * 0.75 / 200)
    assert counts.sum() == counts[rows].sum()
    again = [random_documents(data, RandomParams(k=20), Context(seed=5)).taken for _ in range(2)]
    np.testing.assert_array_equal(*again)


def test_random_when_documents_come_in_another_order_then_keeps_the_same_ones(tmp_path: Path):
    documents = [one for number, one in enumerate(records(300)) if number % 10 != 9]  # copies are alike but for ids
    one, other = corpus(tmp_path / "a", documents), corpus(tmp_path / "b", documents[::-1])
    kept = [random_documents(each, RandomParams(rate=0.2), Context(seed=3)) for each in (one, other)]
    assert kept_ids(kept[0]) == kept_ids(kept[1])
    assert len(kept[0]) == len(kept_ids(kept[0]))


def test_random_when_in_order_of_delivery_then_best_first(data: Corpus):
    sorted_, best = (random_documents(data, RandomParams(k=30, keep_order=order), Context()) for order in (True, False))
    assert (np.diff(sorted_.taken) > 0).all()
    np.testing.assert_array_equal(np.sort(best.taken), sorted_.taken)
    assert (np.diff(best.selected_by) <= 0).all()


def test_noise_when_drawn_then_of_its_distribution():
    keys = np.random.default_rng(0).integers(0, 2**63, 50_000).astype(np.uint64)
    at = uniform(keys, 1, "a")
    assert 0 < at.min() < at.max() < 1
    np.testing.assert_allclose(np.histogram(at, 10, (0, 1))[0] / 50_000, 0.1, atol=0.006)
    assert abs(np.corrcoef(at, uniform(keys, 2, "a"))[0, 1]) < 0.02
    assert abs(gumbel(keys, 1).mean() - np.euler_gamma) < 0.02


def test_import_scores_when_the_best_then_those_with_the_highest(data: Corpus):
    rows = candidates(data, SelectParams(), Context())
    scores = data.column("score_quality")[rows]
    summary = import_scores(data, ImportScoresParams(k=20), Context())
    assert scores[np.isin(rows, summary.taken)].min() >= np.sort(scores)[-20]
    lowest = import_scores(data, ImportScoresParams(k=20, score="quality", best="lowest"), Context())
    assert scores[np.isin(rows, lowest.taken)].max() <= np.sort(scores)[19]


def test_import_scores_when_some_are_infinite_then_these_are_none(data: Corpus, monkeypatch: pytest.MonkeyPatch):
    scores = data.column("score_quality")
    scores[data.rows(TRAIN)[:3]] = (np.inf, -np.inf, np.nan)
    monkeypatch.setattr(Corpus, "column", lambda *_: scores)
    ctx = Context()
    found = import_scores(data, ImportScoresParams(k=20, sampling="softmax"), ctx)
    assert np.isfinite(found.selected_by).all()
    assert any("3 of" in one for one in found.warnings)


def test_import_scores_when_drawn_by_softmax_then_in_its_proportion(data: Corpus):
    rows = candidates(data, SelectParams(), Context())
    scores = data.column("score_quality")[rows].astype(np.float64)
    standard = (scores - scores.mean()) / scores.std()
    counts = np.zeros(len(data))
    for seed in range(600):
        params = ImportScoresParams(k=1, sampling="softmax", tau=1.0)
        counts[import_scores(data, params, Context(seed=seed)).taken] += 1
    expected = np.exp(standard) / np.exp(standard).sum()
    upper = standard > np.quantile(standard, 0.8)
    assert counts[rows][upper].sum() / 600 == pytest.approx(expected[upper].sum(), abs=0.08)


def test_import_scores_when_the_column_is_not_there_then_refused_by_name(data: Corpus, tmp_path: Path):
    with pytest.raises(JobError, match="no scores 'other'") as caught:
        import_scores(data, ImportScoresParams(score="other"), Context())
    assert "score_quality" in caught.value.hint
    bare = corpus(tmp_path / "bare", [{"text": f"d{number}"} for number in range(30)])
    with pytest.raises(JobError, match="0 columns of scores"):
        import_scores(bare, ImportScoresParams(), Context())


def test_dedup_only_when_without_a_size_then_keeps_all_but_copies(data: Corpus):
    summary = dedup_only(data, DedupOnlyParams(), Context())
    np.testing.assert_array_equal(summary.taken, candidates(data, SelectParams(), Context()))
    assert len(dedup_only(data, DedupOnlyParams(k=11), Context())) == 11
