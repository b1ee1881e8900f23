"""Selections by clusters, by a target set, and by a proxy model find what was planted."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kinds.text.languages import clean
from tests.kinds.text.languages import corpus as made_up
from tests.kinds.text.planted_topics import corpus, ids, sources, topics
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.evidence.report import build
from worker.kinds.text.dataset import HQ, TEST, TRAIN, Corpus
from worker.kinds.text.likeness import quality_scores
from worker.kinds.text.methods.d4 import D4Params, d4
from worker.kinds.text.methods.dsir import DsirParams, dsir
from worker.kinds.text.methods.perplexity import PerplexityParams, perplexity
from worker.kinds.text.methods.prototypes import PrototypesParams, prototypes
from worker.kinds.text.methods.quality_classifier import QualityClassifierParams, quality_classifier
from worker.kinds.text.methods.scorer_cost import ScorerCostParams, scorer_cost
from worker.kinds.text.methods.semdedup import SemDedupParams, semdedup
from worker.kinds.text.summary import TextSummary, adopt
from worker.kinds.text.target import target_of
from worker.runtime.registry import discover


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return corpus(tmp_path_factory.mktemp("topics"), topics({"a": 120, "b": 60, "c": 60}, copies=60))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return corpus(tmp_path_factory.mktemp("target"), topics({"a": 0, "b": 40}, seed=9))


def given(data: Corpus, target: Corpus, seed: int = 0) -> Context:
    return Context(seed=seed, inputs={"target": adopt(data, target)})


def test_semantic_duplicates_go_first(data: Corpus):
    made = semdedup(data, SemDedupParams(k=150, dimension=16), Context())
    assert sources(made).get("copy", 0) <= 6  # of 60, which random documents would have 30 of; some clusters have one
    assert 0 < made.facts["epsilon"] < 1
    novelty = made.scores["novelty"]
    taken = np.isin(made.candidates, made.rows)
    assert novelty[taken].min() >= novelty[~taken].max()


def test_prototypes_are_left_out_and_d4_leaves_out_copies_too(data: Corpus):
    far = prototypes(data, PrototypesParams(k=100, dimension=16), Context())
    distance = far.scores["distance_to_centre"]
    taken = np.isin(far.candidates, far.rows)
    assert distance[taken].min() >= distance[~taken].max()
    both = d4(data, D4Params(k=100, dimension=16, dedup="exact"), Context())
    assert sources(both).get("copy", 0) <= 2
    assert np.isnan(both.scores["distance_to_centre"]).mean() == pytest.approx(0.25, abs=0.01)
    with pytest.raises(JobError, match="with a score"):
        d4(data, D4Params(rate=0.9, dedup="exact", dimension=16), Context())


def test_a_target_set_finds_its_like(data: Corpus, target: Corpus):
    for run, params in ((dsir, DsirParams), (quality_classifier, QualityClassifierParams)):
        made = run(data, params(k=40), given(data, target))
        assert sources(made)["b"] >= 32, run.__name__  # both let some others in
        assert ids(run(data, params(k=40), given(data, target))) == ids(made)


def test_importance_weights_are_sums_of_log_ratios(tmp_path: Path):
    """The larger of two words counts: documents of many 'yes' come first, and the longer, the sooner."""
    texts = [f"{'yes ' * (at % 7 + 1)}w{at}" for at in range(60)] + [f"{'no ' * (at % 5 + 1)}w{at}" for at in range(60)]
    small = corpus(tmp_path / "d", [{"id": str(at), "text": text} for at, text in enumerate(texts)])
    wanted = corpus(tmp_path / "t", [{"id": str(at), "text": f"{'yes ' * 10}v{at}"} for at in range(60)])
    made = dsir(small, DsirParams(k=20, draw=False), given(small, wanted))
    kept = list(small.texts(np.sort(made.taken)))
    assert all(text.startswith("yes yes yes yes") for text in kept)
    assert made.facts["kl_of_target_from_corpus"] > 0


def test_scores_are_out_of_fold(data: Corpus, target: Corpus):
    """Documents that are the target's own sort are not called bad for having been shown as the corpus."""
    ctx = given(data, target)
    rows = data.rows(0)
    scores = quality_scores(data, rows, ctx.inputs["target"], ctx)
    mine = np.array(data.sources)[data.source[rows]] == "b"
    assert scores[mine].min() > scores[~mine].max()
    exact = quality_classifier(data, QualityClassifierParams(k=30, alpha=0), given(data, target))
    taken = np.isin(exact.candidates, exact.rows)
    assert exact.scores["quality"][taken].min() >= exact.scores["quality"][~taken].max()


def test_a_target_never_holds_what_selections_are_judged_on(data: Corpus, tmp_path: Path):
    """The same version as target and as high-quality set: what it holds out, and near-copies of that, teach nothing."""
    wanted = clean(30, 4)
    asked = [text.rsplit(" ", 1)[0] for text in data.texts(data.rows(TEST)[:2])]
    texts = [*wanted, *(f"{text} more" for text in asked), f"{wanted[0]} more", *clean(20, 5)]
    version = made_up(tmp_path / "v", texts, [TRAIN] * 32 + [HQ] * 21)
    ctx = Context(inputs={"target": adopt(data, version), "hq": version})
    left = target_of(data, ctx)
    assert set(left.texts()) == set(wanted[1:])
    assert len(left.rows) == len(left.weights) == len(left) == 29
    assert any(one.startswith("24 documents of the target set") for one in ctx.warnings)
    assert len(dsir(data, DsirParams(k=5), ctx)) == 5
    assert len(target_of(data, Context(inputs={"target": adopt(data, version)}))) == 29  # a later job may ask it
    kept = summary_of(version, np.arange(53))  # what another job kept of it, among it what it holds out
    assert len(target_of(data, Context(inputs={"target": kept, "hq": version}))) == 29
    only = made_up(tmp_path / "o", clean(20, 6), [HQ] * 20)
    with pytest.raises(JobError, match="at least 10 are needed") as refused:
        dsir(data, DsirParams(k=5), Context(inputs={"target": adopt(data, only), "hq": only}))
    assert refused.value.pointer == "/inputs/target"


def summary_of(version: Corpus, rows: np.ndarray) -> TextSummary:
    """Documents as they come back from the files of a selection: all for training."""
    texts = list(version.texts(rows))
    own = made_up(version.folder / "kept", texts, [TRAIN] * len(texts))
    return TextSummary(own, np.arange(len(rows)), rows, np.ones(len(rows), np.float32))


def test_a_target_that_is_too_small_is_refused(data: Corpus, tmp_path: Path):
    few = corpus(tmp_path, topics({"b": 5}, seed=3))
    with pytest.raises(JobError, match="at least 10 are needed"):
        dsir(data, DsirParams(k=5), given(data, few))


def test_scores_are_the_same_however_much_text_is_read_at_once(
    data: Corpus, target: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    records = topics({"a": 120, "b": 60, "c": 60}, copies=60)
    monkeypatch.setattr("worker.kinds.text.row_groups.GROUP_BYTES", 2_000)
    small = corpus(tmp_path, records)
    for run, params in ((perplexity, PerplexityParams(k=40)), (quality_classifier, QualityClassifierParams(k=40))):
        whole, parts = (run(one, params, given(one, target)) for one in (data, small))
        assert ids(whole) == ids(parts)
        np.testing.assert_allclose(next(iter(whole.scores.values())), next(iter(parts.scores.values())), rtol=1e-6)


def test_what_repeats_is_easy_for_the_proxy_model(data: Corpus):
    low = perplexity(data, PerplexityParams(k=40), Context())
    assert sources(low).get("copy", 0) >= 30
    middle = perplexity(data, PerplexityParams(k=40, band="middle"), Context())
    bits = middle.scores["bits_per_byte"]
    kept = bits[np.isin(middle.candidates, middle.rows)]
    assert bits.min() < kept.min() <= np.median(bits) <= kept.max() < bits.max()


def test_rates_are_rounded_half_up(tmp_path: Path):
    documents = [{"id": str(at), "text": f"w{at} w{at + 1} w{at * 7}"} for at in range(1700)]
    many = corpus(tmp_path, documents)
    candidates = len(many.rows(0))
    made = perplexity(many, PerplexityParams(rate=0.1), Context())
    assert len(made) == math.floor(0.1 * candidates + 0.5)
    assert math.floor(0.1 * 7627 + 0.5) == 763


def test_costs_are_counted_and_contrast_is_measured(data: Corpus):
    discover()  # what is registered is listed
    found = scorer_cost(data, ScorerCostParams(bytes_per_token=4, prompt_tokens=100, price_per_million=2), Context())
    tables: dict[str, Any] = {table.name: table.rows for table in found.tables}
    distinct = np.unique(data.hash[data.rows(0)], return_index=True)[1]
    tokens = np.minimum(np.ceil(data.bytes[data.rows(0)][distinct] / 4), 512) + 100
    assert found.more["tokens"] == tokens.sum()
    assert tables["judges"][0]["price"] == pytest.approx(tokens.sum() / 1e6 * 2)
    variation = [row["variation"] for row in tables["contrast"]]
    assert variation == sorted(variation)  # near-copies stand out the more, the sharper the kernel
    assert {row["method"] for row in tables["scorers"]} >= {"density", "dsir", "quality-classifier"}
    assert build(found, {"method": "scorer-cost", "task": "advise", "kind": "text"}).json_text()
