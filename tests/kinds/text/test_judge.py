"""Judging selections at equal bytes: the clean language wins where it is asked, noise loses, and nobody reads more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kinds.text.languages import bilingual, clean, corpus, high_quality, mixed, noise
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.product import Origin
from worker.evidence.conclude import conclude
from worker.evidence.findings import Findings
from worker.evidence.measurements import Measurements
from worker.evidence.report import build
from worker.evidence.statistics import value_of
from worker.kinds.text.baselines import document_sets
from worker.kinds.text.containment import contained, windows
from worker.kinds.text.dataset import HQ, TEST, TRAIN, VALIDATION, Corpus
from worker.kinds.text.evaluate_params import evaluate_params
from worker.kinds.text.judge import judge
from worker.kinds.text.methods.random import RandomParams, random_documents
from worker.kinds.text.picks import like_the_target
from worker.kinds.text.summary import TextSummary, adopt


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return mixed(tmp_path_factory.mktemp("mixed") / "v")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return bilingual(tmp_path_factory.mktemp("two") / "v")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return high_quality(tmp_path_factory.mktemp("good") / "v")


def of_source(data: Corpus, name: str, count: int = 60) -> TextSummary:
    """The first training documents of a source, scored by whether they are of it."""
    train = data.rows(TRAIN)
    own = data.source[train] == data.sources.index(name)
    rows = train[own][:count]
    scores = {"score": own.astype(np.float32) - np.linspace(0, 0.5, len(train), dtype=np.float32)}
    return TextSummary(data, rows, rows, np.ones(len(rows), np.float32), train, scores, {"calls": 3}, Origin("oracle"))


def judged(data: Corpus, summary: TextSummary, good: Corpus | None = None, **params: Any) -> Measurements:
    ctx = Context(seed=1, inputs={} if good is None else {"hq": good})
    found = judge(data, [summary], evaluate_params()(bootstrap=200, **params), ctx)
    assert isinstance(found, Measurements)
    return found


def table(found: Measurements, name: str) -> list[Mapping[str, Any]]:
    return [dict(row) for row in next(one for one in found.tables if one.name == name).rows]


def bits(found: Measurements, name: str, test: str = "hq", learner: str = "ngram") -> float:
    results = found.of(learner, name)
    return float(np.mean([value_of(one.scores[test]["bits_per_byte"]) for one in results]))


def test_clean_selection_when_a_high_quality_set_is_there_then_is_ahead_and_the_other_set_is_not_kept_quiet(
    two: Corpus, good: Corpus
):
    found = judged(two, of_source(two, "clean"), good)
    assert found.test.name == "hq"
    assert bits(found, "summary") < bits(found, "random") - 0.1
    assert bits(found, "summary", "test") > bits(found, "random", "test")
    verdict = conclude(found, {}).verdict
    assert verdict.status == "ahead"
    assert verdict.value is not None
    assert verdict.value > 1
    assert verdict.value == pytest.approx(bits(found, "full") / bits(found, "summary"), rel=1e-6)
    assert "less is better" in verdict.sentence
    assert any("held-out documents of the dataset" in one and "behind" in one for one in found.warnings)
    assert "high-quality set" in found.protocol.text
    assert {row["test_name"] for row in table(found, "leads")} == {"hq", "test", "source"}
    ahead = {(row["test_name"], row["set"]): row["ahead"] for row in table(found, "leads")}
    assert ahead["hq", "random documents"] == pytest.approx(bits(found, "random") - bits(found, "summary"), rel=1e-6)


def test_noise_when_selected_then_the_cheap_one_is_better(data: Corpus, good: Corpus):
    found = judged(data, of_source(data, "noise"), good, draws=2)
    assert conclude(found, {}).verdict.status == "cheap_is_better"
    assert bits(found, "summary") > bits(found, "random") + 0.5


def test_clean_selection_when_only_the_mixture_is_asked_then_is_not_ahead(two: Corpus):
    found = judged(two, of_source(two, "clean"), draws=2)
    assert [one.name for one in found.tests] == ["test", "source"]
    assert conclude(found, {}).verdict.status == "cheap_is_better"
    assert "no high-quality set" in found.protocol.text


def test_random_selection_when_judged_then_is_called_a_cheap_pick(data: Corpus, good: Corpus):
    summary = random_documents(data, RandomParams(k=60), Context(seed=5))
    said = conclude(judged(data, summary, good), {}).verdict
    assert said.status == "cheap_pick"
    assert "itself a cheap pick" in said.sentence


def test_every_set_when_read_then_gives_equal_bytes_and_the_report_says_how_often(data: Corpus, good: Corpus):
    summary = of_source(data, "clean", 30)
    found = judged(data, summary, good, draws=2)
    rows = {row["set"]: row for row in table(found, "training")}
    assert {row["seen"] for row in rows.values()} == {summary.bytes}
    assert {round(row["epochs"], 6) for row in rows.values()} == {1}
    assert {row["distinct"] for row in rows.values()} == {summary.bytes}
    again = judged(data, summary, good, draws=2, train_tokens=10 * summary.bytes)
    rows = {row["set"]: row for row in table(again, "training")}
    assert {row["seen"] for row in rows.values()} == {10 * summary.bytes}
    assert rows["this summary"]["epochs"] == rows["random documents"]["epochs"] == 10
    assert rows["full data"]["epochs"] < 2
    assert any("10 times over" in one for one in again.warnings)
    assert bits(again, "summary") == pytest.approx(bits(found, "summary"))  # a counter learns nothing anew
    assert bits(again, "full") < bits(found, "full")


def test_sets_when_larger_than_what_is_read_then_give_parts_that_are_drawn(data: Corpus, good: Corpus):
    summary = of_source(data, "clean", 40)
    train = data.rows(TRAIN)
    wanted = train[data.source[train] == data.sources.index("clean")][:30]
    inputs = {"hq": good, "target": TextSummary(data, wanted, wanted, np.ones(len(wanted), np.float32))}
    params = evaluate_params()(bootstrap=100, draws=3, train_tokens=summary.bytes // 4)
    found = judge(data, [summary], params, Context(seed=1, inputs=inputs))
    rows = {row["set"]: row for row in table(found, "training")}
    assert rows["this summary"]["draws"] == rows["random documents"]["draws"] == rows["full data"]["draws"] == 3
    assert {row["seen"] for row in rows.values()} == {summary.bytes // 4}
    values = [value_of(one.scores["hq"]["bits_per_byte"]) for one in found.of("ngram", "summary")]
    assert len(set(values)) == 3
    sets = {one.record.name: one for one in document_sets(data, [summary], params, Context(seed=1, inputs=inputs))}
    read = sets["quality-classifier"].draws[0].text.documents
    best = like_the_target(data, 0, Context(seed=1, inputs=inputs))[:10]
    assert not {read.text(at) for at in range(len(read) - 1)} <= set(data.texts(np.sort(best)))  # part of all its picks


def test_pool_of_noise_when_judged_then_nothing_is_determined(tmp_path: Path):
    split = ([TRAIN] * 8 + [VALIDATION, TEST]) * 20
    data = corpus(tmp_path / "v", noise(200, 3), split)
    rows = data.rows(TRAIN)[:40]
    summary = TextSummary(data, rows, rows, np.ones(40, np.float32), origin=Origin("guess"))
    said = conclude(judged(data, summary, draws=2), {}).verdict
    assert said.status == "undetermined"
    assert "does not beat its floor, single bytes" in said.sentence


def test_sources_when_told_apart_then_macro_accuracy_is_measured_over_their_documents(data: Corpus, good: Corpus):
    found = judged(data, of_source(data, "clean"), good, draws=2)
    scores = [one.scores["source"]["macro_accuracy"] for one in found.of("ngram", "full")]
    assert min(value_of(one) for one in scores) > 0.7
    assert all("source" not in one.scores for one in found.of("unigram", "full"))
    assert "50 is chance" in found.protocol.text


def test_high_quality_documents_when_trained_on_then_are_left_out_with_a_warning(tmp_path: Path, data: Corpus):
    train = data.rows(TRAIN)[:3]
    good = corpus(tmp_path / "hq", [*data.texts(train), *clean(20, 2)], [HQ] * 23)
    found = judged(data, of_source(data, "clean"), good, draws=1)
    assert found.test.n == 20
    assert any("3 documents of the high-quality set" in one for one in found.warnings)


def nearly(text: str) -> str:
    """The text with another last word."""
    return text.rsplit(" ", 1)[0] + " changed"


def test_held_out_documents_when_nearly_trained_on_then_are_left_out_with_a_warning(tmp_path: Path):
    texts = clean(200, 0)
    split = ([TRAIN] * 8 + [VALIDATION, TEST]) * 20
    for at in range(9, 59, 10):  # five test documents
        texts[at] = nearly(texts[at - 9])
    data = corpus(tmp_path / "v", texts, split)
    good = corpus(tmp_path / "hq", [*map(nearly, texts[10:13]), *clean(20, 2)], [HQ] * 23)
    rows = data.rows(TRAIN)[:40]
    summary = TextSummary(data, rows, rows, np.ones(40, np.float32), origin=Origin("first"))
    found = judged(data, summary, good, draws=1)
    assert {one.name: one.n for one in found.tests} == {"hq": 20, "test": 15}
    assert any(one.startswith("5 of 20 test documents are near-copies") for one in found.warnings)
    assert any(one.startswith("3 of 23 documents of the high-quality set") for one in found.warnings)


def test_uploaded_subset_when_it_nearly_holds_test_documents_then_is_not_asked_about_them(tmp_path: Path):
    data = corpus(tmp_path / "v", clean(200, 0), ([TRAIN] * 8 + [VALIDATION, TEST]) * 20)
    answers = [nearly(text) for text in data.texts(data.rows(TEST)[:4])]
    subset = corpus(tmp_path / "s", [*answers, *data.texts(data.rows(TRAIN)[:30])], [TRAIN] * 34)
    found = judged(data, adopt(data, subset), draws=1)
    assert found.test.n == 16
    assert any(one.startswith("4 of 20 test documents") for one in found.warnings)


@pytest.mark.parametrize("parts", [2, 3])
def test_uploaded_subset_when_it_holds_test_documents_in_pieces_then_is_not_asked_about_them(
    parts: int, tmp_path: Path
):
    data = corpus(tmp_path / "v", clean(200, 0), ([TRAIN] * 8 + [VALIDATION, TEST]) * 20)
    chunks: list[str] = []
    for text in data.texts(data.rows(TEST)[:4]):
        words = text.split(" ")
        chunks += [" ".join(words[at * len(words) // parts : (at + 1) * len(words) // parts]) for at in range(parts)]
    subset = corpus(tmp_path / "s", [*chunks, *data.texts(data.rows(TRAIN)[:30])], [TRAIN] * (len(chunks) + 30))
    found = judged(data, adopt(data, subset), draws=1)
    assert found.test.n == 16
    assert any(one.startswith("A fifth or more of each of 4 of 20 test documents") for one in found.warnings)


def test_windows_when_of_shifted_text_then_the_same_and_shares_are_counted(tmp_path: Path):
    text = np.frombuffer(bytes(range(97, 123)) * 4, np.uint8)
    np.testing.assert_array_equal(windows(text[7:]), windows(text)[7:])
    assert len(windows(text[:47])) == 0
    letters = "".join(chr(97 + at) for at in np.random.default_rng(0).integers(26, size=1_600))
    asked = corpus(tmp_path / "a", [letters, "short"], [TRAIN] * 2)
    held = corpus(tmp_path / "h", [f"xyz{letters[:800].upper()}"], [TRAIN])
    share = contained([(asked, np.arange(2))], [(held, np.arange(1))], Context())
    # 98 windows begin at 0, 16, ... 1,552; of these 48 end before 800
    np.testing.assert_allclose(share, [48 / 98, 0])


def test_test_documents_when_all_are_nearly_trained_on_then_nothing_can_be_measured(tmp_path: Path):
    texts = clean(40, 0)
    data = corpus(tmp_path / "v", [*texts, *map(nearly, texts)], [TRAIN] * 40 + [TEST] * 40)
    rows = data.rows(TRAIN)[:5]
    found = judge(
        data, [TextSummary(data, rows, rows, np.ones(5, np.float32))], evaluate_params()(bootstrap=100), Context(seed=1)
    )
    assert isinstance(found, Findings)
    assert (
        "every test document is a near-copy"
        in build(found, {"method": "guess", "kind": "text"}).json["verdict"]["sentence"]
    )
    assert any(one.startswith("40 of 40 test documents") for one in found.warnings)


def test_high_quality_set_when_all_for_training_then_is_refused_by_name(tmp_path: Path, data: Corpus):
    good = corpus(tmp_path / "hq", clean(20, 2), [TRAIN] * 20)
    with pytest.raises(JobError) as refused:
        judged(data, of_source(data, "clean"), good)
    assert refused.value.pointer == "/inputs/hq"


def test_high_quality_documents_when_in_the_dataset_itself_then_lead(tmp_path: Path):
    texts = [*clean(100, 0), *noise(100, 0), *clean(20, 9)]
    split = ([TRAIN] * 8 + [VALIDATION, TEST]) * 20 + [HQ] * 20
    data = corpus(tmp_path / "v", texts, split)
    rows = data.rows(TRAIN)[:40]
    summary = TextSummary(data, rows, rows, np.ones(40, np.float32), origin=Origin("first"))
    found = judged(data, summary, draws=1)
    assert (found.test.name, found.test.n) == ("hq", 20)


def test_hashed_classifier_when_the_job_has_a_target_then_stands_beside_the_summary(data: Corpus, good: Corpus):
    train = data.rows(TRAIN)
    wanted = train[data.source[train] == data.sources.index("clean")][:30]
    target = TextSummary(data, wanted, wanted, np.ones(len(wanted), np.float32))
    ctx = Context(seed=1, inputs={"hq": good, "target": target})
    found = judge(data, [of_source(data, "noise", 30)], evaluate_params()(bootstrap=100, draws=1), ctx)
    cheap = next(one for one in found.sets if one.name == "quality-classifier")
    assert cheap.role == "baseline"
    assert bits(found, "quality-classifier") < bits(found, "random")
    assert "quality-classifier" not in {one.name for one in judged(data, of_source(data, "noise", 30), good).sets}


def test_dataset_when_nothing_is_held_out_then_says_so(tmp_path: Path):
    data = corpus(tmp_path / "v", clean(20, 0), [TRAIN] * 20)
    rows = data.rows(TRAIN)[:5]
    with pytest.raises(JobError) as refused:
        judged(data, TextSummary(data, rows, rows, np.ones(5, np.float32)))
    assert refused.value.code == "too_few_rows"


def test_several_summaries_when_judged_then_each_has_baselines_of_its_own_bytes(data: Corpus, good: Corpus):
    first, second = of_source(data, "clean", 40), replace(of_source(data, "noise", 20), facts={})
    ctx = Context(seed=1, inputs={"hq": good})
    found = judge(data, [first, second], evaluate_params()(bootstrap=100, draws=1), ctx)
    sets = {one.name: one for one in found.sets}
    assert sets["random"].bytes == first.bytes
    assert sets["random-summary-2"].bytes == second.bytes
    assert {row["seen"] for row in table(found, "training")} == {second.bytes}
    assert {one["summary"] for one in conclude(found, {}).more["summaries"] for one in [one["verdict"]]} == {
        "summary", "summary-2",
    }  # fmt: skip
