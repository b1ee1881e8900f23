from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.ingest import ids
from worker.ingest.ids import IdMap


def batches(words: list[str], size: int) -> list[pa.DictionaryArray]:
    return [pa.array(words[at : at + size], pa.string()).dictionary_encode() for at in range(0, len(words), size)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=3), max_size=60), st.integers(1, 20), st.integers(1, 30))
def test_ids_when_in_batches_of_any_size_then_codes_give_the_words_back(
    words: list[str], size: int, merge: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ids, "_MERGE_AT", merge)
        numbering = IdMap()
        for batch in batches(words, size):
            numbering.add(batch)
        codes, known = numbering.finish()
    known = known.to_pylist()
    assert [known[code] for code in codes] == words
    assert len(set(known)) == len(known) == len(set(words))


def test_ids_when_whole_numbers_then_sorted_as_numbers() -> None:
    numbering = IdMap()
    for batch in batches(["10", "9", "-1", "10"], 2):
        numbering.add(batch)
    codes, known = numbering.finish()
    assert known.to_pylist() == ["-1", "9", "10"]
    assert codes.tolist() == [2, 1, 0, 2]


def test_ids_when_leading_zeros_then_kept_apart_and_sorted_as_text() -> None:
    numbering = IdMap()
    numbering.add(pa.array(["7", "007", "10"]).dictionary_encode())
    assert numbering.finish()[1].to_pylist() == ["007", "10", "7"]


def test_ids_when_a_dictionary_repeats_a_word_then_one_number() -> None:
    numbering = IdMap()
    numbering.add(pa.DictionaryArray.from_arrays(pa.array([0, 1, 2], pa.int32()), pa.array(["a", "b", "a"])))
    numbering.add(pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int32()), pa.array(["a", "b"])))
    codes, known = numbering.finish()
    assert (codes.tolist(), known.to_pylist()) == ([0, 1, 0, 1, 0], ["a", "b"])
