"""The tokeniser as it is made, delivered and judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.kinds.sequences.planted import planted
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.evaluate_params import evaluate_params
from worker.kinds.sequences.item_features import ItemFeatures
from worker.kinds.sequences.methods.actionpiece import ActionPieceParams, actionpiece
from worker.kinds.sequences.pieces.encoding import Encoder
from worker.kinds.sequences.rows import Rows
from worker.kinds.sequences.splits import TRAIN, leave_one_out
from worker.kinds.sequences.tokeniser import Tokeniser


def judged(data, tokeniser, seed: int = 0):
    return tokeniser.judge(data, evaluate_params()(bootstrap=100), Context(seed=seed))


def table_of(findings, name: str) -> list[dict]:
    return list(next(table for table in findings.tables if table.name == name).rows)


@pytest.fixture(scope="module")
def data():
    return planted(200)


@pytest.fixture(scope="module")
def made(data) -> Tokeniser:
    return actionpiece(data, ActionPieceParams(vocab_size=300), Context(seed=3))


def test_tokens_when_written_then_every_event_is_in_them(data, made: Tokeniser):
    encoder = Encoder.of(made.vocabulary, made.item_features)
    written = made.written
    back = [np.sort(encoder.vocabulary.expanded(written.rows.row(row))) for row in range(len(written.rows))]
    for sequence in range(len(data)):
        rows = np.flatnonzero(written.sequence == sequence)
        items = data.rows.row(sequence)
        split = data.split[data.indptr[sequence] : data.indptr[sequence + 1]]
        expected = [items[split == TRAIN], *items[split != TRAIN, None]]
        for row, part in zip(rows, expected, strict=True):
            assert back[row].tolist() == sorted(encoder.item_tokens[part].reshape(-1).tolist())
    held = np.flatnonzero(written.split != TRAIN)
    assert [encoder.decode(written.rows.row(row)) for row in held] == data.items[data.split != TRAIN].tolist()


def test_report_when_judged_then_says_that_nothing_is_lost_and_what_is_shorter(data, made: Tokeniser):
    found = judged(data, made)
    assert "without loss" in found.verdict.sentence
    lengths = {row["name"]: row["nsl"] for row in table_of(found, "lengths")}
    assert found.verdict.value == pytest.approx(lengths["this vocabulary, no random order"])
    cheap = min(lengths["within actions only"], lengths["byte pairs"])
    if found.verdict.status == "ahead":
        assert found.verdict.value < cheap
    if found.verdict.status == "cheap_is_better":
        assert found.verdict.value > cheap
    growth = table_of(found, "length_by_vocabulary")
    assert growth[0]["nsl"] == 100
    assert growth[-1]["nsl"] == pytest.approx(lengths["this vocabulary"])
    used = [row["used"] for row in table_of(found, "utilisation")]
    assert used == sorted(used)
    assert sum(row["written"] for row in table_of(found, "kinds_of_tokens")) == pytest.approx(100)


def test_report_when_tokens_stand_for_other_items_then_says_that_something_is_lost(data, made: Tokeniser):
    same = made.item_features.copy()
    same[1] = same[0]
    found = judged(data, replace(made, item_features=same))
    assert found.verdict.status == "doubtful"


def test_vocabulary_when_learned_from_some_events_then_says_so_and_writes_them_all(data):
    ctx = Context(seed=3)
    made = actionpiece(data, ActionPieceParams(vocab_size=300, train_events=200), ctx)
    assert made.facts["learned_from_events"] <= 200
    assert any("train_events" in text for text in made.warnings)
    assert len(np.unique(made.written.sequence)) == len(data)


def test_vocabulary_when_counts_are_stale_then_is_another_one(data):
    stale = actionpiece(data, ActionPieceParams(vocab_size=300, compat="stale"), Context(seed=3))
    exact = actionpiece(data, ActionPieceParams(vocab_size=300), Context(seed=3))
    assert stale.vocabulary.rules.tolist() != exact.vocabulary.rules[: len(stale.vocabulary.rules)].tolist()


def test_tokenising_when_the_dataset_is_a_text_then_is_refused(data):
    text = replace(data, options={**data.options, "content": "text"})
    with pytest.raises(JobError, match="is a text"):
        actionpiece(text, ActionPieceParams(), Context())


@pytest.mark.parametrize("form", ["attributes", "columns"])
def test_features_when_the_dataset_lacks_them_then_says_how_to_go_on(data, form: str):
    with pytest.raises(JobError, match="no features of items") as refused:
        actionpiece(data, ActionPieceParams(features=form), Context())
    assert refused.value.pointer == "/params/features"
    assert "auto" in refused.value.hint


def test_features_when_given_in_any_form_then_are_used(data):
    numbers = np.arange(data.n_items)
    names = np.array(["a"] * 20)
    columns = ItemFeatures("columns", codes=np.stack([numbers // 10, numbers % 4], axis=1), names=names)
    sets = Rows.of([[number // 10, 3 + number % 4] for number in numbers])
    attributes = ItemFeatures("attributes", sets=sets, names=names)
    vectors = ItemFeatures("vectors", vectors=np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32))
    for given, wanted in ((columns, "auto"), (attributes, "attributes"), (attributes, "auto"), (vectors, "auto")):
        made = actionpiece(replace(data, features=given), ActionPieceParams(vocab_size=200, features=wanted), Context())
        assert len(np.unique(made.item_features, axis=0)) == data.n_items
        assert made.item_features.shape[1] == (3 if given is columns else 5)


def test_vocabulary_when_smaller_than_the_features_then_the_hint_works(data):
    with pytest.raises(JobError, match="features alone") as refused:
        actionpiece(data, ActionPieceParams(vocab_size=5), Context())
    least = int(refused.value.hint.split("at least ")[1].split(",")[0])
    assert len(actionpiece(data, ActionPieceParams(vocab_size=least), Context()).vocabulary) == least


def test_items_when_nothing_tells_them_apart_then_a_digit_does():
    rows = Rows.of([[0, 1, 2], [1, 2, 0], [2, 1, 0]] * 10)  # one training event each: nothing occurs together
    lone = Sequences.of(rows, 3, leave_one_out(rows.indptr), options={"content": "events"})
    one = ItemFeatures("attributes", sets=Rows.of([[0]] * 30), names=np.array(["a"]))
    huge = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32) * np.float32(1e30)
    some = planted(60)
    for given in (lone, replace(some, features=one), replace(some, features=ItemFeatures("vectors", vectors=huge))):
        made = actionpiece(given, ActionPieceParams(vocab_size=200), Context())
        assert len(np.unique(made.item_features, axis=0)) == given.n_items
        assert np.isfinite(judged(given, made).verdict.value)


def test_codes_when_vectors_cannot_carry_as_many_then_the_hint_works_or_a_warning_says_how_many():
    data = planted(60)
    narrow = ItemFeatures("vectors", vectors=np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32))
    with pytest.raises(JobError, match="Vectors of 2 numbers") as refused:
        actionpiece(replace(data, features=narrow), ActionPieceParams(vocab_size=200), Context())
    assert refused.value.hint == "Ask for pq_codebooks of at most 2."
    made = actionpiece(replace(data, features=narrow), ActionPieceParams(vocab_size=200, pq_codebooks=2), Context())
    assert made.item_features.shape[1] == 3
    fewer = actionpiece(data, ActionPieceParams(vocab_size=900, pq_codebooks=32), Context())
    assert any("29 codes, not the 32" in warning for warning in fewer.warnings)


def test_codes_when_vectors_are_scaled_then_are_the_same():
    data, vectors = planted(60), np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    found = [
        actionpiece(
            replace(data, features=ItemFeatures("vectors", vectors=vectors * scale)),
            ActionPieceParams(vocab_size=200),
            Context(),
        ).item_features.tolist()
        for scale in (np.float32(1), np.float32(2.0**90), np.float32(2.0**-60))
    ]
    assert found[0] == found[1] == found[2]


def test_report_when_training_events_change_their_place_then_lengths_are_still_those_of_held_out_events(data, made):
    """Learned by heart is not measured: what a sequence did in training does not count."""
    held = data.split != TRAIN
    items = data.items.copy()
    items[~held] = np.random.default_rng(0).permutation(items[~held])
    found, other = judged(data, made), judged(replace(data, items=items), made)
    own = [{row["name"]: row["nsl"] for row in table_of(one, "lengths")}["this vocabulary"] for one in (found, other)]
    assert own[0] == own[1]
    tokens = {row["name"]: row["mean"] for row in table_of(found, "lengths")}
    assert max(tokens.values()) <= 2 * made.item_features.shape[1]
