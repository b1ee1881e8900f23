"""MinHash of documents: 120 numbers of each, of which two documents share as many as their word 5-grams overlap.

For a hash function h, the smallest h(x) over the 5-grams x of a document is the same for two documents with the
probability of their Jaccard index (Broder, "On the resemblance and containment of documents", 1997). Ours are
multiply-shift functions h(x) = (a x + b mod 2^64) >> 32 with odd a (Dietzfelbinger et al., 1997). Of each number the
low 8 bits are kept, which agree by chance once in 256 (b-bit minwise hashing, Li and König, WWW 2010).

Candidates are found by bands (locality-sensitive hashing, Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets",
3.4): documents that agree in all six numbers of one of 20 bands. At a Jaccard index of 0.8 that is 99.8 % of the pairs.

A word is a run of letters, digits and characters beyond ASCII, in lower case where they are ASCII; each character of
U+3000 to U+9FFF, which are written without blanks, is a word of its own. A document of fewer than five words is one
gram, one without words is the gram of its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from worker.ingest.arrow import Arrow
from worker.kinds.text.dataset import Shard
from worker.numerics.compiled import WARM_UPS, compiled

BANDS, ROWS, GRAM = 20, 6, 5
HASHES = BANDS * ROWS
_FNV_OFFSET, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_COINCIDENCE = 1 / 256


@dataclass(frozen=True)
class Sketches:
    """The map of a pass: of a shard and the numbers of documents in it (sorted), {`bands` uint32 (n, 20): what each
    band hashes to; `low` uint8 (n, 120)}."""

    def __call__(self, part: tuple[Shard, np.ndarray]) -> dict[str, np.ndarray]:
        """Of one shard."""
        shard, rows = part
        found = [minima(batch.column(0)) for batch in shard.read(rows)]
        lowest = np.concatenate([np.empty((0, HASHES), np.uint32), *found])
        return {"bands": bands_of(lowest), "low": lowest.astype(np.uint8)}


def minima(texts: Arrow) -> np.ndarray:
    """uint32 (n, 120): the smallest hash of the word 5-grams of each text, by every hash function."""
    texts = texts.cast(pa.large_string())
    offsets = np.frombuffer(texts.buffers()[1], np.int64, len(texts) + 1, 8 * texts.offset)
    data = np.frombuffer(texts.buffers()[2] or b"\0", np.uint8)
    factors, addends = _functions()
    found = np.full((len(texts), HASHES), np.uint32(0xFFFFFFFF))
    _fill(data, offsets, factors, addends, found)
    return found


def bands_of(lowest: np.ndarray) -> np.ndarray:
    """uint32 (n, 20): a hash of the six numbers of each band."""
    state = np.zeros((len(lowest), BANDS), np.uint64)
    grouped = lowest.reshape(-1, BANDS, ROWS)
    for at in range(ROWS):
        state = (state ^ grouped[:, :, at]) * _GOLDEN
        state ^= state >> np.uint64(29)
    return (state >> np.uint64(32)).astype(np.uint32)


def alike(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The estimated Jaccard index float64 (p,) of pairs by their low bits uint8 (p, 120); the deviation at 0.8 is
    0.037."""
    agree = (first == second).mean(axis=1)
    return np.maximum(0.0, (agree - _COINCIDENCE) / (1 - _COINCIDENCE))


def _functions() -> tuple[np.ndarray, np.ndarray]:
    """Factors and addends uint64 (120,) of the hash functions, the same in every run: sketches can be compared."""
    rng = np.random.default_rng(20)
    numbers = rng.integers(0, 2**64, (2, HASHES), np.uint64)
    return numbers[0] | np.uint64(1), numbers[1]


@compiled
def _fill(data, offsets, factors, addends, found):
    """Lower `found` (n, 120) to the smallest hashes of every document's grams. `data` (b,), `offsets` (n + 1,)."""
    last = np.empty(GRAM, np.uint64)
    for document in range(len(offsets) - 1):
        lowest = found[document]
        words, inside, word = 0, False, _FNV_OFFSET
        whole = _FNV_OFFSET
        at, end = offsets[document], offsets[document + 1]
        while at <= end:
            byte = data[at] if at < end else np.uint8(32)
            alone = at < end and byte >= 0xE3 and byte <= 0xE9  # the first byte of three
            if 65 <= byte <= 90:
                byte += np.uint8(32)
            part_of_word = (48 <= byte <= 57) or (97 <= byte <= 122) or byte >= 128
            if inside and (alone or not part_of_word):
                last[words % GRAM] = word
                words += 1
                inside, word = False, _FNV_OFFSET
                if words >= GRAM:
                    _lower(lowest, _gram(last, words, GRAM), factors, addends)
            if alone:
                for next_ in range(at, min(at + 3, end)):
                    word = (word ^ np.uint64(data[next_])) * _FNV_PRIME
                last[words % GRAM] = word
                words += 1
                word = _FNV_OFFSET
                if words >= GRAM:
                    _lower(lowest, _gram(last, words, GRAM), factors, addends)
                at += 3
                continue
            if part_of_word:
                word = (word ^ np.uint64(byte)) * _FNV_PRIME
                inside = True
            if at < end:
                whole = (whole ^ np.uint64(byte)) * _FNV_PRIME
            at += 1
        if words == 0:
            _lower(lowest, whole, factors, addends)
        elif words < GRAM:
            _lower(lowest, _gram(last, words, words), factors, addends)


@compiled
def _gram(last, words, length):
    """A hash of the last `length` of `words` words, in their order."""
    state = np.uint64(length)
    for back in range(length, 0, -1):
        state = (state ^ last[(words - back) % GRAM]) * _GOLDEN
        state ^= state >> np.uint64(32)
    return state


@compiled
def _lower(lowest, gram, factors, addends):
    """Take a gram into account."""
    for at in range(len(lowest)):
        value = np.uint32((factors[at] * gram + addends[at]) >> np.uint64(32))
        if value < lowest[at]:
            lowest[at] = value


def _compile() -> None:
    minima(pa.array(["one two three four five six"]))


WARM_UPS.append(_compile)
