"""The side-text audit: text that says something is found, text that says nothing is not, and no review leaks."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.shared_data import shared
from worker.contract.context import Context
from worker.contract.errors import Cancelled, JobError
from worker.kinds.interactions import dataset, ingest
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.methods.side_text_audit import SideTextAuditParams, side_text_audit
from worker.kinds.interactions.side_text import attention
from worker.kinds.interactions.side_text.arms import Without
from worker.kinds.interactions.side_text.audit import Difference, bootstrapped, run
from worker.kinds.interactions.side_text.documents import Documents, features, means
from worker.kinds.interactions.side_text.evidence import _verdict, verdict_of
from worker.kinds.interactions.side_text.factorised import Biases
from worker.kinds.interactions.side_text.reviews import Part, Reviews, core
from worker.kinds.interactions.splits import clean

WORDS = np.array("awful poor fair good great wood steel blue loud soft long cheap".split(), object)  # noqa: SIM905


def rated(seed: int = 0, users: int = 150, items: int = 40, each: int = 7, planted: bool = False) -> Interactions:
    """Noisy ratings of items that are good or bad. Planted: a review names how good the item really is, which its few
    noisy ratings do not tell; otherwise it is words at random."""
    rng = np.random.default_rng(seed)
    worth = rng.integers(0, 5, items)
    user = np.repeat(np.arange(users), each)
    item = np.concatenate([rng.choice(items, each, replace=False) for _ in range(users)])
    if planted:  # many items, each seen by few
        items *= 6
        worth = rng.integers(0, 5, items)
        item = np.concatenate([rng.choice(items, each, replace=False) for _ in range(users)])
    rating = np.clip(np.rint(1 + worth[item] + rng.normal(0, 1.5, len(item))), 1, 5)
    texts = np.array([" ".join(rng.choice(WORDS, 6)) for _ in item], object)
    if planted:
        texts = texts + " " + np.array([f"worth{w}" for w in worth[item]], object)
    data = Interactions.from_columns(user, item, clean(user, seed=seed), rating=rating)
    order = np.lexsort((item, user))
    return replace(data, texts=lambda: texts[order])


def audited(data: Interactions, seed: int = 0, **params: object) -> dict[str, object]:
    asked = SideTextAuditParams(k_core=0, bootstrap=300, **params)
    return side_text_audit(data, asked, Context(seed=seed)).verdict.to_json()


def test_planted_text_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_LEAST_STEPS", 50)
    found = audited(rated(planted=True, users=600), mask=[100])
    assert found["status"] == "helps"
    assert found["high"] < 0
    assert found["beside_shuffled"]["high"] < 0


def test_random_text_is_no_evidence_and_masking_all_of_it_is_the_factorisation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attention, "_LEAST_STEPS", 50)
    found = side_text_audit(rated(), SideTextAuditParams(k_core=0, bootstrap=300), Context())
    assert found.verdict.status != "helps"
    arms = {(row["arm"], row["texts"]): row for row in found.tables[0].rows}
    without = arms["factorisation", "none"]["test"]
    assert arms["factorisation + text features", "0 %"]["test"] == pytest.approx(without, abs=1e-12)
    assert arms["HFT-lite (text draws item factors)", "0 %"]["test"] == pytest.approx(without, abs=1e-12)
    assert {texts for _, texts in arms} == {"none", "its own", "shuffled", "50 %", "0 %"}


def test_words_at_random_seldom_help() -> None:
    """Twelve seeded runs of the fast arms; the forty of all arms are a slow test."""
    helped = [audited(rated(seed), seed, arms=["mf-text"], mask=[100])["status"] == "helps" for seed in range(12)]
    assert sum(helped) <= 1


@pytest.mark.slow
def test_of_forty_runs_on_random_text_at_most_two_say_that_it_helps() -> None:
    helped = [audited(rated(seed), seed, mask=[100])["status"] == "helps" for seed in range(100, 140)]
    assert sum(helped) <= 2


@pytest.mark.slow
def test_on_amazon_musical_instruments_there_is_no_evidence_that_reviews_help(tmp_path: Path) -> None:
    upload = [("reviews.jsonl.gz", shared("amazon-musical-instruments") / "reviews.jsonl.gz")]
    ingest.ingest(upload, {"keep_text": True}, tmp_path, Context())
    found = side_text_audit(dataset.load(tmp_path), SideTextAuditParams(), Context())
    assert found.verdict.status == "no_evidence"
    assert found.n_test > 1000
    assert found.verdict.high - found.verdict.low < 0.03


def test_verdict_needs_both_comparisons() -> None:
    below, around, above = (Difference(0.0, *ends, 9) for ends in ((-2, -1), (-1, 1), (1, 2)))
    assert verdict_of(below, below) == "helps"
    assert verdict_of(below, around) == "no_evidence"
    assert verdict_of(around, below) == "no_evidence"
    assert verdict_of(above, below) == "hurts"


def test_an_arm_that_leaves_the_text_out_is_not_said_to_change_by_nothing() -> None:
    audited = run(reviews_of(rated(each=4)), ["mf-text"], [], 50, 0, Context())
    nothing, something = Difference(0.0, 0.0, 0.0, 9), Difference(-0.1, -0.2, 0.1, 9)
    left_out = _verdict("no_evidence", audited, nothing, something)
    assert "leaves the text out" in left_out.sentence
    assert "0.0000" not in left_out.sentence
    measured = _verdict("no_evidence", audited, something, something)
    assert "changes by" in measured.sentence


def test_bootstrap_of_a_difference_has_the_standard_error_of_its_mean() -> None:
    values = np.random.default_rng(0).normal(0.2, 1, 900)
    found = bootstrapped(values, 2000, seed=1)
    half = 1.96 * values.std() / 30
    assert found.value == pytest.approx(values.mean())
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


def reviews_of(data: Interactions) -> Reviews:
    return Reviews.of(data, 0, 10**6, 0)


def test_what_is_read_about_a_pair_leaves_its_own_review_out_and_holds_training_reviews_only() -> None:
    reviews = reviews_of(rated())
    documents = Documents.of(reviews.texts, 0)
    own = 17
    changed = replace(documents, vectors=documents.vectors.copy())
    changed.vectors[own] += 1.0
    before, after = (features(reviews, one, reviews.train) for one in (documents, changed))
    touched = np.flatnonzero(np.abs(before - after).max(axis=1) > 1e-9)
    train = reviews.train
    near = np.flatnonzero((train.user == train.user[own]) | (train.item == train.item[own]))
    assert own not in touched
    assert set(touched) == set(near) - {own}
    alone = Documents(np.eye(3), np.ones(3, bool))
    found = means(alone, np.array([0, 0, 1]), 3, np.array([0, 1, 2]), np.array([0, 2, 1]))
    assert found[0].tolist() == [0, 1, 0]  # the other review of owner 0
    assert found[1].tolist() == [0, 0, 0]  # its only review is its own


def test_texts_of_held_out_reviews_change_nothing() -> None:
    data = rated()
    texts = data.texts()
    held = data.events.split != 0
    assert held.any()
    spoilt = np.where(held, "spoilt words of another sort", texts)
    params = {"arms": ["mf-text", "hft-lite"], "mask": [100]}
    assert audited(data, **params) == audited(replace(data, texts=lambda: spoilt), **params)


def test_attention_masks_the_pair_s_own_review(monkeypatch: pytest.MonkeyPatch) -> None:
    reviews = reviews_of(rated())
    documents = Documents.of(reviews.texts, 0)
    train = reviews.train
    table = attention.slots(train.user, reviews.users, documents.there)
    for user in range(5):
        own = np.flatnonzero(train.user == user)
        assert sorted(table[user][table[user] >= 0]) == own[: attention.SLOTS].tolist()
    import torch

    rows = np.arange(len(train))
    texts = torch.from_numpy(documents.vectors.astype(np.float32))
    _, read, _, there = attention._read(table, train.user, rows, texts, train.item)
    number = table[train.user]
    assert not there.numpy()[number == rows[:, None]].any()
    assert there.numpy()[(number >= 0) & (number != rows[:, None])].all()
    assert read.shape == (len(train), attention.SLOTS, texts.shape[1])


def test_shuffling_keeps_the_texts_and_masking_empties_the_rest() -> None:
    documents = Documents.of(reviews_of(rated()).texts, 0)
    shuffled = documents.shuffled(np.random.default_rng(0))
    assert (shuffled.vectors != documents.vectors).any()
    np.testing.assert_array_equal(np.sort(shuffled.vectors, axis=0), np.sort(documents.vectors, axis=0))
    half = documents.masked(0.5, np.random.default_rng(0))
    assert half.there.sum() == pytest.approx(len(half.there) / 2, abs=1)
    assert (half.vectors[~half.there] == 0).all()


def test_texts_without_words_are_no_texts() -> None:
    documents = Documents.of(np.array(["", "  ", "...", "a b"], object), 0)
    assert not documents.there.any()


def test_biases_solve_the_ridge() -> None:
    rng = np.random.default_rng(0)
    part = Part(rng.integers(0, 6, 80), rng.integers(0, 5, 80), rng.normal(3, 1, 80))
    found = Biases.fit(part, 6, 5, 2.0)
    x = np.hstack([np.eye(6)[part.user], np.eye(5)[part.item]])
    exact = np.linalg.solve(x.T @ x + 2 * np.eye(11), x.T @ (part.rating - part.rating.mean()))
    np.testing.assert_allclose(np.concatenate([found.user, found.item]), exact, atol=1e-5)


def test_core_leaves_only_who_has_enough_of_what_is_left() -> None:
    user, item = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 1])
    assert core(user, item, 2).tolist() == [0, 1, 2, 3]
    assert core(user, item, 3).tolist() == []


def test_audit_resumes_to_the_same_predictions_and_stops_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_LEAST_STEPS", 10)
    monkeypatch.setattr(attention, "EPOCHS", 2)
    reviews = reviews_of(rated(users=60))
    ctx = Context(seed=3)
    whole = run(reviews, ["narre-lite"], [50], 200, 3, ctx)
    again = run(reviews, ["narre-lite"], [50], 200, 3, ctx)
    fresh = run(reviews, ["narre-lite"], [50], 200, 3, Context(seed=3))
    for key, one in whole.found.items():
        np.testing.assert_array_equal(one.test, again.found[key].test)
        np.testing.assert_array_equal(one.test, fresh.found[key].test)
    stopped = Context()
    stopped.stop()
    with pytest.raises(Cancelled):
        Without.fit(reviews, 0, stopped)


def upload(folder: Path, *, text: bool = True) -> list[tuple[str, Path]]:
    """Rated interactions, as a user's file, whose rows are not in canonical order."""
    rng = np.random.default_rng(0)
    file = folder / "reviews.csv"
    with file.open("w", newline="") as out:
        lines = csv.writer(out)
        lines.writerow(["user_id", "item_id", "rating", *(["reviewText"] if text else [])])
        for user in rng.permutation(40):
            for item in rng.choice(12, 6, replace=False):
                said = [f"user {user} on item {item}" if user % 7 else ""] if text else []
                lines.writerow([f"u{user:02d}", f"i{item:02d}", int(rng.integers(1, 6)), *said])
    return [("reviews.csv", file)]


def test_upload_keeps_the_text_of_each_event_when_asked_to(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    told = ingest.ingest(upload(tmp_path), {"keep_text": True}, tmp_path / "out", Context())
    assert told["schema"]["texts.parquet"] == {"text": "string"}
    data = dataset.load(tmp_path / "out")
    for user, item, text in zip(data.events.user, data.events.item, data.texts(), strict=True):
        user, item = int(data.user_ids[user][1:]), int(data.item_ids[item][1:])
        assert text == (f"user {user} on item {item}" if user % 7 else "")


def test_upload_without_keep_text_gives_the_files_it_always_gave(tmp_path: Path) -> None:
    digests = []
    for name, text in (("with", True), ("without", False)):
        folder = tmp_path / name
        (folder / "out").mkdir(parents=True)
        ingest.ingest(upload(folder, text=text), {}, folder / "out", Context())
        digests.append({one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in (folder / "out").iterdir()})
    assert digests[0] == digests[1]
    assert set(digests[0]) == {"interactions.parquet", "users.parquet", "items.parquet"}


def test_keep_text_without_a_text_column_and_audits_without_texts_or_ratings_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(JobError) as refused:
        ingest.ingest(upload(tmp_path, text=False), {"keep_text": True}, tmp_path / "out", Context())
    assert refused.value.pointer == "/columns/text"
    data = rated()
    for lacking in (replace(data, texts=None), replace(data, events=replace(data.events, rating=None))):
        with pytest.raises(JobError) as refused:
            side_text_audit(lacking, SideTextAuditParams(), Context())
        assert refused.value.pointer == "/dataset"
        assert "keep_text" in refused.value.hint
    with pytest.raises(JobError) as refused:
        side_text_audit(data, SideTextAuditParams(k_core=20), Context())
    assert refused.value.pointer == "/params/k_core"


def test_above_max_reviews_whole_users_are_taken() -> None:
    data = rated()
    some = Reviews.of(data, 0, 400, 1)
    assert 350 < len(some.train) + len(some.validation) + len(some.test) <= 400
    assert some.users < 60
