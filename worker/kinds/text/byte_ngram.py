"""A byte n-gram with Witten-Bell interpolation, held in sorted arrays.

With c(h, b) how often byte b followed the context h, c(h) how often any did, and t(h) how many different bytes did,

    p(b | h) = (c(h, b) + t(h) p(b | h')) / (c(h) + t(h)),

h' being h without its earliest byte, and p = 1/256 below the empty context; contexts never seen pass on to h'. Witten
and Bell, "The zero-frequency problem" (IEEE Transactions on Information Theory, 1991), method C, interpolated as by
Chen and Goodman, "An empirical study of smoothing techniques" (1999), section 2.5. Over the 256 bytes the probabilities
sum to 1 exactly. Before the start of a document stand bytes 0, so that every byte is predicted and no document depends
on the one before; its end is not predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from worker.kinds.text.training_text import Documents

ORDER = 6
_AT_ONCE = 1 << 21  # bytes whose n-grams are made at once: 16 MB of them
_BYTE = np.uint64(8)


@dataclass(frozen=True)
class _Level:
    """All n-grams of one length, sorted: `grams` uint64 (u,), the context above the last byte; `counts` float64 (u,);
    `owner` int64 (u,): the number of its context, of which `total` and `types` float64 (c,) are known."""

    grams: np.ndarray
    counts: np.ndarray
    owner: np.ndarray
    total: np.ndarray
    types: np.ndarray


@dataclass(frozen=True)
class ByteNGram:
    """Counts of all lengths from 1 to `ORDER`."""

    levels: tuple[_Level, ...]

    def probabilities(self, keys: np.ndarray) -> np.ndarray:
        """p of the last byte of every n-gram (k,) of length `ORDER`, float64 (k,), each above 0."""
        p = np.full(len(keys), 1 / 256)
        for number, level in enumerate(self.levels):
            wanted = _shortened(keys, ORDER - 1 - number)
            place = np.searchsorted(level.grams, wanted)
            here = np.minimum(place, len(level.grams) - 1)
            counts = np.where(level.grams[here] == wanted, level.counts[here], 0.0)
            # N-grams of one context lie together: where it occurs, the place of a new one touches some of its own.
            before = np.maximum(place - 1, 0)
            context = wanted >> _BYTE
            after = level.grams[here] >> _BYTE == context
            known = after | (level.grams[before] >> _BYTE == context)
            owner = level.owner[np.where(after, here, before)]
            total, types = level.total[owner], level.types[owner]
            p = np.where(known, (counts + types * p) / (total + types), p)
        return p

    def bits(self, documents: Documents, heartbeat: Callable[[], None] = lambda: None) -> np.ndarray:
        """Bits that every document takes, float64 (n,)."""
        found = np.empty(len(documents.buffer))
        at = 0
        for keys in ngrams(documents):
            heartbeat()
            distinct, which = np.unique(keys, return_inverse=True)
            found[at : at + len(keys)] = -np.log2(self.probabilities(distinct))[which]
            at += len(keys)
        return documents.sums(found)


def train(documents: Documents, heartbeat: Callable[[], None] = lambda: None) -> ByteNGram:
    """Count all n-grams of documents. O(m log m) time; memory for the distinct ones and a block of the text.

    Raises ValueError when there is nothing to count.
    """
    if not len(documents.buffer):
        raise ValueError("an n-gram model needs a byte of text")
    grams, counts = np.zeros(0, np.uint64), np.zeros(0)
    for keys in ngrams(documents):
        heartbeat()
        some, often = np.unique(keys, return_counts=True)
        grams, counts = _merged(np.concatenate([grams, some]), np.concatenate([counts, often.astype(np.float64)]))
    levels: list[_Level] = []
    for number in range(ORDER):
        heartbeat()
        if number:
            grams, counts = _merged(_shortened(grams, 1), counts)
        levels.append(_level(grams, counts))
    return ByteNGram(tuple(reversed(levels)))


def ngrams(documents: Documents) -> Iterator[np.ndarray]:
    """The n-gram that ends in each byte, uint64, in blocks: from high to low the byte before, the one before that, ...,
    and lowest the byte itself. So those that share a context, of any length, lie together when sorted."""
    buffer, place = documents.buffer, documents.place
    for start in range(0, len(buffer), _AT_ONCE):
        block = slice(start, min(start + _AT_ONCE, len(buffer)))
        keys = np.zeros(block.stop - start, np.uint64)
        for back in range(1, ORDER):
            there = place[block] >= back
            before = np.zeros(len(keys), np.uint64)
            before[there] = buffer[np.flatnonzero(there) + start - back]
            keys = keys << _BYTE | before
        yield keys << _BYTE | buffer[block].astype(np.uint64)


def _shortened(keys: np.ndarray, by: int) -> np.ndarray:
    """N-grams without their `by` earliest bytes, which lie just above the last one."""
    return keys >> np.uint64(8 * by + 8) << _BYTE | keys & np.uint64(255)


def _merged(grams: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted distinct n-grams, and the sums of their counts."""
    order = np.argsort(grams, kind="stable")
    grams = grams[order]
    first = np.flatnonzero(np.concatenate([[True], grams[1:] != grams[:-1]]))
    return grams[first], np.add.reduceat(counts[order], first)


def _level(grams: np.ndarray, counts: np.ndarray) -> _Level:
    contexts = grams >> _BYTE
    first = np.concatenate([[True], contexts[1:] != contexts[:-1]])
    owner, starts = np.cumsum(first) - 1, np.flatnonzero(first)
    types = np.diff(np.concatenate([starts, [len(grams)]])).astype(np.float64)
    return _Level(grams, counts, owner, np.add.reduceat(counts, starts), types)
