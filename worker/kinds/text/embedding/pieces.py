"""A corpus-wide pass in pieces: few documents of one shard each, so that a pass is stopped soon and resumed near."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from worker.kinds.text.dataset import Corpus, Shard

_RUN = 4_096  # documents: what a row group holds at most

Piece = tuple[Shard, np.ndarray]
"""A shard, and the numbers of documents in it, sorted int64."""


def pieces(data: Corpus, rows: np.ndarray, at_most: int = _RUN) -> list[Piece]:
    """Documents `rows` (sorted int64) in order: pieces that lie in one run of 4,096 of a shard, `at_most` in each."""
    return list(_pieces(data, np.asarray(rows, np.int64), at_most))


def _pieces(data: Corpus, rows: np.ndarray, at_most: int) -> Iterator[Piece]:
    for shard in data.shards:
        for start in range(shard.first, shard.first + shard.rows, _RUN):
            end = min(start + _RUN, shard.first + shard.rows)
            inside = rows[slice(*np.searchsorted(rows, (start, end)))]
            for first in range(0, len(inside), at_most):
                yield shard, inside[first : first + at_most]
