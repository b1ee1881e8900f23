"""MinHash against exact Jaccard indices, and near-copies in groups whatever shard they lie in."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.kinds.text.planted import jsonl, words
from worker.contract.context import Context
from worker.kinds.text import minhash, shards
from worker.kinds.text.dataset import TRAIN, Corpus, load
from worker.kinds.text.deduplication import near_any, near_copies, without_near_copies
from worker.kinds.text.ingest import ingest


def grams(text: str) -> set[tuple[str, ...]]:
    found = re.findall(r"[a-z0-9]+", text.lower())
    return {tuple(found[at : at + 5]) for at in range(len(found) - 4)} or {tuple(found)}


def jaccard(one: str, other: str) -> float:
    a, b = grams(one), grams(other)
    return len(a & b) / len(a | b)


def changed(text: str, count: int, rng: np.random.Generator) -> str:
    """The text with this many words replaced."""
    parts = text.split(" ")
    for at in rng.choice(len(parts), count, replace=False):
        parts[at] = "other" + str(rng.integers(10**6))
    return " ".join(parts)


def prose(count: int, length: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    vocabulary = words(2_000, seed)
    return [" ".join(vocabulary[at] for at in rng.integers(0, 2_000, length)) for _ in range(count)]


def test_minhash_when_compared_then_estimates_the_jaccard_index():
    rng = np.random.default_rng(1)
    texts = prose(40, 200, 1)
    errors: list[float] = []
    for at, text in enumerate(texts):
        other = changed(text, at % 20, rng)
        low = minhash.minima(pa.array([text, other])).astype(np.uint8)
        errors.append(float(minhash.alike(low[:1], low[1:])[0]) - jaccard(text, other))
    assert abs(np.mean(errors)) < 0.02
    assert np.std(errors) < 0.06


@pytest.mark.parametrize(
    ("one", "other"),
    [("One, two three FOUR five six", "one two  three four five... six"), ("a b", "A, b!"), ("???", "???")],
)
def test_minhash_when_texts_differ_in_case_and_marks_only_then_equal(one: str, other: str):
    found = minhash.minima(pa.array([one, other]))
    np.testing.assert_array_equal(found[0], found[1])


@pytest.mark.parametrize(("one", "other"), [("a b", "a b c"), ("???", "!!!"), ("one two three", "three two one")])
def test_minhash_when_short_texts_differ_then_unlike(one: str, other: str):
    low = minhash.minima(pa.array([one, other])).astype(np.uint8)
    assert minhash.alike(low[:1], low[1:])[0] < 0.1


def test_minhash_when_written_without_blanks_then_characters_are_words():
    one = "今天天气很好我们一起去公园散步然后回家吃饭"
    low = minhash.minima(pa.array([one, one + "再见", "完全不同的一个句子在这里没有相同的词语"])).astype(np.uint8)
    assert minhash.alike(low[:1], low[1:2])[0] > 0.7
    assert minhash.alike(low[:1], low[2:])[0] < 0.1


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """200 documents, of which 40 to 79 are near-copies of 0 to 39."""
    rng = np.random.default_rng(5)
    found = prose(200, 120, 2)
    found[40:80] = [changed(text, 2, rng) for text in found[:40]]
    return found


def corpus(folder: Path, texts: list[str], parts: list[str] | None = None) -> Corpus:
    documents = [{"text": text} | ({"split": parts[at]} if parts else {}) for at, text in enumerate(texts)]
    (folder / "out").mkdir(parents=True)
    ingest([("d.jsonl", jsonl(folder / "d.jsonl", documents))], {}, folder / "out", Context(), {})
    return load(folder / "out")


def test_near_copies_when_planted_then_grouped_and_nothing_else(texts: list[str], tmp_path: Path):
    data = corpus(tmp_path, texts)
    groups = near_copies([(data, np.arange(200))], Context())
    together = groups[:40] == groups[40:80]
    alike = np.array([jaccard(texts[at], texts[at + 40]) for at in range(40)])
    assert together[alike > 0.9].all()
    assert together.sum() >= 0.9 * (alike > 0.8).sum()
    assert len(np.unique(groups)) == 200 - together.sum()


def test_near_copies_when_in_many_shards_then_the_same_groups(
    texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    one = near_copies([(corpus(tmp_path / "one", texts), np.arange(200))], Context())
    monkeypatch.setattr(shards, "SHARD_ROWS", 30)
    monkeypatch.setattr("worker.kinds.text.row_groups.GROUP_ROWS", 10)
    many = corpus(tmp_path / "many", texts)
    assert len(many.shards) > 5
    np.testing.assert_array_equal(near_copies([(many, np.arange(200))], Context()), one)


def test_candidates_when_near_copies_are_left_out_then_counted_and_leaks_too(texts: list[str], tmp_path: Path):
    parts = ["test" if at < 10 else "train" for at in range(200)]
    data = corpus(tmp_path, texts, parts)
    ctx = Context()
    kept = without_near_copies(data, data.rows(TRAIN), ctx)
    groups = near_copies([(data, np.arange(200))], Context())
    leaking = [at for at in data.rows(TRAIN) if groups[at] in groups[data.split > TRAIN]]
    assert len(leaking) >= 8
    assert not np.isin(kept, leaking).any()
    assert len(np.unique(groups[kept])) == len(kept)
    assert f"{len(leaking):,} training documents are near-copies of held-out ones" in ctx.warnings[-1]
    for row in kept:  # the longest of its group
        same = data.rows(TRAIN)[groups[data.rows(TRAIN)] == groups[row]]
        assert data.bytes[row] == data.bytes[same].max()


def test_near_copies_when_in_another_corpus_then_found_whatever_its_shards(
    texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data = corpus(tmp_path / "data", texts[:40] + texts[80:], ["test"] * 40 + ["train"] * 120)
    other = corpus(tmp_path / "other", texts[40:80] + prose(20, 120, 9))
    asked, held = [(other, np.arange(60))], [(data, np.flatnonzero(data.split > TRAIN))]
    found = near_any(asked, held, Context(), "others")
    assert found[:40].mean() > 0.85
    assert not found[40:].any()
    monkeypatch.setattr("worker.kinds.text.deduplication._PIECE_BYTES", 2_000)
    np.testing.assert_array_equal(near_any(asked, held, Context(), "others"), found)
    assert not near_any(asked, [(data, np.empty(0, np.int64))], Context(), "others").any()
