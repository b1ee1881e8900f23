"""A dataset's sequences as a vocabulary is learned from them, and as they are written in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.contract.context import Context
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.pieces.encoding import Encoder
from worker.kinds.sequences.rows import Rows, bounds
from worker.kinds.sequences.splits import TRAIN

_EVENTS = 50_000
"""Events that are written at once."""


@dataclass(frozen=True)
class Written:
    """Sequences as tokens. `rows`: of tokens; `split`: int8, of each row; `sequence`: int64, the sequence it is of."""

    rows: Rows
    split: np.ndarray
    sequence: np.ndarray


def drawn(rows: Rows, most: int, ctx: Context) -> Rows:
    """At most `most` events, in whole rows drawn at random; says so where that is not all."""
    if len(rows.items) <= most:
        return rows
    order = np.random.default_rng([ctx.seed, 3]).permutation(len(rows))
    kept = order[: max(1, int(np.searchsorted(np.cumsum(rows.lengths[order]), most, side="right")))]
    ctx.warn(
        f"The vocabulary was learned from {len(kept):,} of {len(rows):,} sequences, drawn at random (train_events)."
    )
    return rows.take(np.sort(kept))


def written(data: Sequences, encoder: Encoder, ctx: Context) -> Written:
    """Every sequence in tokens: its training events in one row, each held-out event in a row of its own.

    Training events are one draw of set permutation regularisation, which a block's number decides; a held-out event is
    the label it would be for a model. Memory is that of the result and of one block.
    """
    starts = _pieces(data)
    owner = np.searchsorted(data.indptr, starts, side="right") - 1
    indptr = np.append(starts, len(data.items))
    split = data.split[starts] if len(starts) else np.zeros(0, np.int8)
    rows = Rows(indptr, data.items)
    lengths, tokens, first = [], [], 0
    while first < len(rows):
        ctx.progress(int(indptr[first]), max(1, len(data.items)))
        last = max(first + 1, int(np.searchsorted(indptr, indptr[first] + _EVENTS, side="right")) - 1)
        block = Rows(indptr[first : last + 1] - indptr[first], data.items[indptr[first] : indptr[last]])
        found = _block(block, split[first:last] == TRAIN, encoder, np.random.default_rng([ctx.seed, 4, first]))
        lengths.append(found.lengths)
        tokens.append(found.items)
        first = last
    count = np.concatenate([np.zeros(0, np.int64), *lengths])
    flat = np.concatenate([np.zeros(0, np.int32), *tokens])
    return Written(Rows(bounds(count), flat), split, owner)


def _pieces(data: Sequences) -> np.ndarray:
    """Where a row of tokens begins: at a sequence's first event, and at every event outside the training part."""
    begins = np.zeros(len(data.items) + 1, bool)
    begins[data.indptr] = True
    held = data.split != TRAIN
    begins[:-1] |= held
    begins[1:] |= held
    return np.flatnonzero(begins[:-1])


def _block(block: Rows, train: np.ndarray, encoder: Encoder, rng: np.random.Generator) -> Rows:
    read = encoder.encode(block.take(np.flatnonzero(train)), "feature", rng)
    held = block.take(np.flatnonzero(~train))
    labels = encoder.labels.take(held.items)  # one event a row
    order = np.argsort(np.concatenate([np.flatnonzero(train), np.flatnonzero(~train)]), kind="stable")
    both = Rows(bounds(np.concatenate([read.lengths, labels.lengths])), np.concatenate([read.items, labels.items]))
    return both.take(order)
