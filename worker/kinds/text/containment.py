"""Which documents stand in others piece by piece: chunks of a document are no near-copies of it, but give it away.

A document is looked at in windows of 48 bytes, some eight words, every 16 bytes; the others at every byte. What
overlaps so long is a copy, as the 8-grams of Radford et al. ("Language models are unsupervised multitask learners",
2019, section 4) and the 13-grams of Brown et al. (arXiv:2005.14165, appendix C) say of training and test sets. Windows
are told apart by a polynomial of their bytes mod 2^64 (Karp and Rabin, 1987), of which prefix sums give every one at
once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from worker.contract.context import Context
from worker.executor.passes import map_shards
from worker.ingest.arrow import Arrow
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.embedding.pieces import Piece, pieces

WINDOW, STRIDE = 48, 16
_BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse
_INVERSE = pow(_BASE, -1, 1 << 64)
_LOWER = bytes.maketrans(bytes(range(65, 91)), bytes(range(97, 123)))


def contained(
    asked: Sequence[tuple[Corpus, np.ndarray]], others: Sequence[tuple[Corpus, np.ndarray]], ctx: Context
) -> np.ndarray:
    """The share of the windows of each document of `asked` that stand in `others`: float64 (n,), one part after the
    other, 0 for documents without a window. Parts are a corpus and numbers of documents in it, sorted int64."""
    own: list[np.ndarray] = []
    for corpus, rows in asked:
        for text in corpus.texts(rows):
            ctx.progress(0, 1, phase="windows")
            own.append(windows(_bytes(text.encode()))[::STRIDE])
    owner = np.repeat(np.arange(len(own)), [len(one) for one in own])
    wanted, which = np.unique(np.concatenate([np.empty(0, np.uint64), *own]), return_inverse=True)
    found = np.zeros(len(wanted), bool)
    work = [piece for corpus, rows in others for piece in pieces(corpus, rows)]
    if len(wanted):
        for one in map_shards(Holds(wanted), work, ctx, name="windows", keep=False):
            found |= one
    counts = np.bincount(owner, minlength=len(own))
    return np.bincount(owner, found[which], minlength=len(own)) / np.maximum(counts, 1)


def windows(data: np.ndarray) -> np.ndarray:
    """A hash of the window that begins at each byte of uint8 (b,): uint64 (b - 47,), none of a shorter text."""
    if len(data) < WINDOW:
        return np.empty(0, np.uint64)
    powers, inverses = (_powers(base, len(data)) for base in (_BASE, _INVERSE))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(data * powers, dtype=np.uint64)])
    return (sums[WINDOW:] - sums[:-WINDOW]) * inverses[: len(data) - WINDOW + 1]


def _powers(base: int, count: int) -> np.ndarray:
    """base^0, base^1, ... mod 2^64."""
    factors = np.full(count, base, np.uint64)
    factors[:1] = 1
    return np.cumprod(factors, dtype=np.uint64)


def _bytes(text: bytes) -> np.ndarray:
    return np.frombuffer(text.translate(_LOWER), np.uint8)


@dataclass(frozen=True)
class Holds:
    """The map of a pass: which of the `wanted` windows, uint64 (w,) sorted, documents of a piece hold, bool (w,)."""

    wanted: np.ndarray

    def __call__(self, piece: Piece) -> np.ndarray:
        """Of one piece."""
        shard, rows = piece
        found = np.zeros(len(self.wanted), bool)
        for batch in shard.read(rows):
            hashes = windows(_bytes(_joined(batch.column(0))))
            place = np.searchsorted(self.wanted, hashes).clip(max=len(self.wanted) - 1)
            found[place[self.wanted[place] == hashes]] = True
        return found


def _joined(texts: Arrow) -> bytes:
    """The bytes of all texts, one after the other."""
    texts = texts.cast(pa.large_string())
    offsets = np.frombuffer(texts.buffers()[1], np.int64, len(texts) + 1, 8 * texts.offset)
    return bytes(memoryview(texts.buffers()[2] or b"")[int(offsets[0]) : int(offsets[-1])])
