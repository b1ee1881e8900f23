"""Ids to contiguous numbers, batch by batch, with one hash table and no Python object per row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from worker.ingest.arrow import Arrow, pc

_MERGE_AT = 500_000
_WHOLE = r"^(0|-?[1-9]\d{0,17})$"


class IdMap:
    """Collects dictionary-encoded batches and numbers the distinct ids.

    Distinct ids of waiting batches are merged when they outnumber the known ones, so that merging costs
    O(rows log rows) at worst however often ids come back.
    """

    def __init__(self) -> None:
        self._words: Arrow = pa.array([], pa.string())
        self._codes: list[NDArray[Any]] = []
        self._waiting: list[tuple[int, Arrow]] = []
        self._waiting_words = 0

    def add(self, encoded: Arrow) -> None:
        """Take in the ids of a batch (no nulls)."""
        self._waiting.append((len(self._codes), encoded.dictionary))
        self._codes.append(encoded.indices.to_numpy(zero_copy_only=False))
        self._waiting_words += len(encoded.dictionary)
        if self._waiting_words > max(_MERGE_AT, len(self._words)):
            self._merge()

    def finish(self) -> tuple[NDArray[Any], Arrow]:
        """Codes of all rows, int32 (rows,), and the distinct ids, sorted: as numbers when all are whole numbers, else
        by their bytes. So neither the order of rows nor the format of the file decides who is number 0.
        """
        self._merge()
        order = _sorted(self._words)
        rank = np.empty(len(order), np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        for place, codes in enumerate(self._codes):
            self._codes[place] = rank[codes]
        codes = np.concatenate(self._codes) if self._codes else np.empty(0, np.int32)
        self._codes.clear()
        return codes, self._words.take(pa.array(order))

    def _merge(self) -> None:
        if not self._waiting:
            return
        dictionaries = [self._words, *(words for _, words in self._waiting)]
        unified = pa.chunked_array([_identity(words) for words in dictionaries]).unify_dictionaries()
        self._words = unified.chunk(0).dictionary
        for (place, _), chunk in zip(self._waiting, unified.chunks[1:], strict=True):
            self._codes[place] = chunk.indices.to_numpy(zero_copy_only=False)[self._codes[place]]
        self._waiting.clear()
        self._waiting_words = 0


def _identity(words: Arrow) -> Arrow:
    return pa.DictionaryArray.from_arrays(pa.array(np.arange(len(words), dtype=np.int32)), words)


def _sorted(words: Arrow) -> NDArray[Any]:
    if len(words) and pc.all(pc.match_substring_regex(words, _WHOLE)).as_py():
        return np.argsort(words.cast(pa.int64()).to_numpy(), kind="stable")
    return pc.sort_indices(words).to_numpy()
