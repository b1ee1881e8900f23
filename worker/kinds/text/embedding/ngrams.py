"""Hashed n-grams of documents: words, joined words, and pieces of words, counted in a fixed number of buckets.

A word is a run of ASCII letters and digits, or of bytes from 128 on: letters of other alphabets are never lost, and a
script without blanks gives long words, of which the pieces are counted. Case is folded by Arrow's `utf8_lower`.
Everything follows from the bytes of the text: the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from scipy import sparse

from worker.ingest.arrow import Arrow, pc
from worker.numerics.compiled import WARM_UPS, compiled

_START, _FACTOR = 0xCBF29CE484222325, 0x100000001B3


@dataclass(frozen=True)
class Grams:
    """Which n-grams are counted: of 1 to `words` words; of `piece` bytes within words that are longer, 0: none.

    `marks`: other characters than blanks count as words, too. `buckets`: how many numbers the hashes go into.
    """

    buckets: int
    words: int = 1
    piece: int = 0
    marks: bool = False

    def count(self, texts: Arrow) -> sparse.csr_matrix:
        """Counts float32 (n, buckets) of a string array (n,); of each row the columns ascend."""
        text, offsets = _bytes_of(texts)
        most = (int(offsets[-1]) + len(texts)) * (self.words + bool(self.piece))
        columns, counts = np.empty(most, np.int32), np.empty(most, np.float32)
        ends = np.zeros(len(texts) + 1, np.int64)
        _count(text, offsets, self.words, self.piece, self.marks, self.buckets, columns, counts, ends)
        kept = int(ends[-1])
        matrix = sparse.csr_matrix((len(texts), self.buckets), dtype=np.float32)
        matrix.data, matrix.indices, matrix.indptr = counts[:kept].copy(), columns[:kept].copy(), ends.astype(np.int32)
        matrix.has_sorted_indices = matrix.has_canonical_format = True
        return matrix

    def warm_up(self) -> None:
        """Have the loops compiled."""
        self.count(pa.array(["a warm day"]))


def _bytes_of(texts: Arrow) -> tuple[np.ndarray, np.ndarray]:
    """The lower-case texts in UTF-8, uint8, and where each begins and ends, int64 (n + 1,)."""
    lower = pc.utf8_lower(pc.cast(texts, pa.large_string()))
    _, offsets, data = lower.buffers()
    starts = np.frombuffer(offsets, np.int64)[lower.offset : lower.offset + len(lower) + 1]
    text = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8)
    return text[starts[0] : starts[-1]], starts - starts[0]


@compiled
def _count(
    text: np.ndarray, offsets: np.ndarray, words: int, piece: int, marks: bool, buckets: int, columns: np.ndarray,
    counts: np.ndarray, ends: np.ndarray,
) -> None:  # fmt: skip
    longest = 0
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    found = np.empty((longest + 1) * (words + 1), np.int32)
    before = np.zeros(words, np.uint64)  # hashes of the last words
    kept = 0
    for i in range(len(offsets) - 1):
        total, seen, at, end = 0, 0, offsets[i], offsets[i + 1]
        while at < end:
            byte = text[at]
            inside = (97 <= byte <= 122) or (48 <= byte <= 57) or byte >= 128
            if not inside and (not marks or byte <= 32):
                at += 1
                continue
            start = at
            hashed = np.uint64(_START)
            while True:
                hashed = (hashed ^ np.uint64(text[at])) * np.uint64(_FACTOR)
                at += 1
                if not inside or at == end:
                    break
                byte = text[at]
                if not ((97 <= byte <= 122) or (48 <= byte <= 57) or byte >= 128):
                    break
            joined = hashed
            found[total] = _bucket(joined, buckets)
            total += 1
            for back in range(1, min(words, seen + 1)):
                joined = (joined ^ before[(seen - back) % words]) * np.uint64(0x9E3779B97F4A7C15)
                found[total] = _bucket(joined, buckets)
                total += 1
            before[seen % words] = hashed
            seen += 1
            if piece and at - start > piece:
                for first in range(start, at - piece + 1):
                    part = np.uint64(~_START & 0xFFFFFFFFFFFFFFFF)
                    for j in range(first, first + piece):
                        part = (part ^ np.uint64(text[j])) * np.uint64(_FACTOR)
                    found[total] = _bucket(part, buckets)
                    total += 1
        here = np.sort(found[:total])
        for j in range(total):
            if j and here[j] == here[j - 1]:
                counts[kept - 1] += 1
            else:
                columns[kept], counts[kept] = here[j], 1
                kept += 1
        ends[i + 1] = kept


@compiled
def _bucket(hashed: int, buckets: int) -> np.int32:
    mixed = (hashed ^ (hashed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return np.int32((mixed >> np.uint64(33)) % np.uint64(buckets))


WARM_UPS.append(Grams(16).warm_up)
