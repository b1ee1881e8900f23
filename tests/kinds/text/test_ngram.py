"""The byte n-gram: its probabilities are those of a plain reading of the formula, and sum to 1."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from worker.kinds.text import byte_ngram
from worker.kinds.text.byte_ngram import ORDER, train
from worker.kinds.text.training_text import Documents, training_text


class Naive:
    """The same by dictionaries: context -> what followed it."""

    def __init__(self, texts: list[bytes]) -> None:
        self.after: defaultdict[bytes, Counter[int]] = defaultdict(Counter)
        for text in texts:
            padded = bytes(ORDER - 1) + text
            for at in range(ORDER - 1, len(padded)):
                for length in range(ORDER):
                    self.after[padded[at - length : at]][padded[at]] += 1

    def p(self, context: bytes, byte: int) -> float:
        shorter = self.p(context[1:], byte) if context else 1 / 256
        seen = self.after.get(context)
        if not seen:
            return shorter
        return (seen[byte] + len(seen) * shorter) / (seen.total() + len(seen))


TEXTS = [b"abracadabra", b"abba", b"", "gr\u00fc\u00df dich".encode(), b"a", b"\x00\xff\x00", b"abracadabra cadabra"]


def key(context: bytes, byte: int) -> int:
    return int.from_bytes((bytes(ORDER - 1) + context)[:-ORDER:-1] + bytes([byte]), "big")


@pytest.mark.parametrize("block", [1 << 21, 7])
def test_probabilities_when_beside_a_plain_reading_of_the_formula_then_are_equal_and_sum_to_one(
    monkeypatch: pytest.MonkeyPatch, block: int
):
    monkeypatch.setattr(byte_ngram, "_AT_ONCE", block)
    model, naive = train(Documents.of(TEXTS)), Naive(TEXTS)
    for context in (b"\0\0\0\0\0", b"abrac", b"zzzab", b"\0\0\0ab", b"zzzzz", b"\xff\0\0gr"):
        keys = np.array([key(context, byte) for byte in range(256)], np.uint64)
        found = model.probabilities(keys)
        assert found == pytest.approx([naive.p(context, byte) for byte in range(256)], rel=1e-12)
        assert found.sum() == pytest.approx(1, abs=1e-12)
        assert found.min() > 0


def test_bits_when_documents_are_scored_then_each_stands_alone():
    model, naive = train(Documents.of(TEXTS)), Naive(TEXTS)
    asked = [b"abracadabra", b"", b"dab", "gr\u00fc\u00df".encode()]
    expected = [
        -sum(np.log2(naive.p((bytes(5) + text)[at : at + 5], text[at])) for at in range(len(text))) for text in asked
    ]
    together = model.bits(Documents.of(asked))
    assert together == pytest.approx(expected, rel=1e-12)
    assert together[::-1] == pytest.approx(model.bits(Documents.of(asked[::-1])), rel=1e-12)


def test_counts_when_the_text_comes_in_blocks_then_are_the_same(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    documents = Documents.of([rng.integers(97, 101, size).astype(np.uint8).tobytes() for size in (400, 3, 900, 80)])
    whole = train(documents)
    monkeypatch.setattr(byte_ngram, "_AT_ONCE", 64)
    for one, other in zip(whole.levels, train(documents).levels, strict=True):
        assert np.array_equal(one.grams, other.grams)
        assert np.array_equal(one.counts, other.counts)
        assert np.array_equal(one.types, other.types)


def test_bits_when_letters_are_random_then_are_never_below_their_entropy_and_near_it_with_more_text():
    rng = np.random.default_rng(1)
    other = rng.integers(97, 101, 20_000).astype(np.uint8).tobytes()
    short, long = (
        train(Documents.of([rng.integers(97, 101, size).astype(np.uint8).tobytes()])).bits(Documents.of([other]))[0]
        for size in (500, 200_000)
    )
    assert 2 < long / 20_000 < 2.02 < short / 20_000 < 3


def test_training_when_there_is_no_text_then_says_so():
    with pytest.raises(ValueError, match="needs a byte"):
        train(Documents.of([b""]))


def test_training_text_when_cut_then_has_exactly_its_bytes_and_says_how_often_they_are_read():
    found = training_text([b"abcd", b"", b"efgh", b"ijkl"], 6, 6)
    assert found.documents.buffer.tobytes() == b"abcdef"
    assert [len(found.documents), found.distinct, found.epochs] == [2, 6, 1]
    again = training_text([b"abcd"], 9, 10)
    assert (again.distinct, again.bytes, again.epochs) == (4, 10, 2.5)
    assert again.digest != training_text([b"abcd"], 4, 4).digest
