"""Counts of token pairs in compiled loops: a hash table, an inverted index, and a heap that is cleaned when it is read.

Everything lies in flat arrays (`Core`), so that one machine-code loop can work on all of it:

* `pairs` int64 (room, 9), one row a pair, see the columns below; `table` int32, open addressing from keys to rows;
* `entries` int32 (room, 2): the inverted index as chained (sequence, next entry) from a pair's `FIRST`. An entry may
  outlast the pair in its sequence: whoever reads the index looks whether the pair is still there;
* `heap` int64 (room, 2): (count, key). The true count of a pair is never above its highest entry.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from worker.numerics.compiled import compiled

KEY, COUNT, BEFORE, MERGE, OLD, NEW, STAMP, FIRST, TOKEN = range(9)
"""Columns of `pairs`: tokens (low << 32 | high), count of the corpus, count before this merge and the merge it is of,
counts in this sequence before and after, the sequence they are of, first index entry, the token it was made into."""
N_TOKENS, PENDING, POSITION, LEFT, RIGHT, N_PAIRS, N_ENTRIES, FREE = range(8)
IN_HEAP, SEQUENCE, CHANGED, TOUCHED, LOOSENED, MERGES, NEW_TOKEN, MERGED = range(8, 16)
"""Places of `cursor`: where the loop is, so that it can stop for room or for a heartbeat and go on."""


class Core(NamedTuple):
    """All arrays of a vocabulary that is being learned; `nodes` and what follows: see `vocabulary_core`."""

    nodes: np.ndarray
    heads: np.ndarray
    lengths: np.ndarray
    inside: np.ndarray
    between: np.ndarray
    pairs: np.ndarray
    table: np.ndarray
    entries: np.ndarray
    heap: np.ndarray
    pending: np.ndarray
    seen: np.ndarray
    touched: np.ndarray
    changed: np.ndarray
    loosened: np.ndarray
    rules: np.ndarray
    priority: np.ndarray
    cursor: np.ndarray


@compiled
def key_of(one: int, other: int) -> int:
    """The key of an unordered pair of tokens."""
    return (one << 32 | other) if one < other else (other << 32 | one)


@compiled
def place_of(key: int, keys_mask: int) -> int:
    """Where a key's search begins in a table of `keys_mask + 1` places (a multiplicative hash)."""
    mixed = key ^ (key >> 29)
    mixed = mixed * 0x1E3779B97F4A7C15
    return (mixed ^ (mixed >> 32)) & keys_mask


@compiled
def pair_of(key: int, core: Core) -> int:
    """The row of a pair, a new one where it has none; the table must have room."""
    mask = core.table.size - 1
    place = place_of(key, mask)
    while True:
        row = core.table[place]
        if row < 0:
            row = core.cursor[N_PAIRS]
            core.cursor[N_PAIRS] += 1
            core.table[place] = row
            core.pairs[row] = 0
            core.pairs[row, KEY] = key
            core.pairs[row, FIRST] = -1
            return row
        if core.pairs[row, KEY] == key:
            return row
        place = (place + 1) & mask


@compiled
def refill(core: Core) -> None:
    """Fill an emptied table with all pairs."""
    mask = core.table.size - 1
    for row in range(core.cursor[N_PAIRS]):
        place = place_of(core.pairs[row, KEY], mask)
        while core.table[place] >= 0:
            place = (place + 1) & mask
        core.table[place] = row


@compiled
def add_entry(row: int, sequence: int, core: Core) -> None:
    """Note in the index that a pair is in a sequence, unless that was the last thing noted of it."""
    first = core.pairs[row, FIRST]
    if first >= 0 and core.entries[first, 0] == sequence:
        return
    entry = core.cursor[FREE]
    if entry >= 0:
        core.cursor[FREE] = core.entries[entry, 1]
    else:
        entry = core.cursor[N_ENTRIES]
        core.cursor[N_ENTRIES] += 1
    core.entries[entry, 0] = sequence
    core.entries[entry, 1] = first
    core.pairs[row, FIRST] = entry


@compiled
def free_entries(row: int, core: Core) -> None:
    """Give the index entries of a pair back."""
    first = core.pairs[row, FIRST]
    if first < 0:
        return
    last = first
    while core.entries[last, 1] >= 0:
        last = core.entries[last, 1]
    core.entries[last, 1] = core.cursor[FREE]
    core.cursor[FREE] = first
    core.pairs[row, FIRST] = -1


@compiled
def above(heap: np.ndarray, one: int, other: int) -> bool:
    """Whether an entry of the heap comes before another: the larger count, then the smaller pair."""
    if heap[one, 0] != heap[other, 0]:
        return heap[one, 0] > heap[other, 0]
    return heap[one, 1] < heap[other, 1]


@compiled
def swap(heap: np.ndarray, one: int, other: int) -> None:
    """Exchange two entries of the heap."""
    for column in range(2):
        heap[one, column], heap[other, column] = heap[other, column], heap[one, column]


@compiled
def sink(core: Core) -> None:
    """Let the heap's first entry sink to where it belongs."""
    heap, size, at = core.heap, core.cursor[IN_HEAP], 0
    while True:
        best = at
        for child in (2 * at + 1, 2 * at + 2):
            if child < size and above(heap, child, best):
                best = child
        if best == at:
            return
        swap(heap, at, best)
        at = best


@compiled
def push(count: int, key: int, core: Core) -> None:
    """Put a count of a pair on the heap."""
    heap, at = core.heap, core.cursor[IN_HEAP]
    core.cursor[IN_HEAP] += 1
    heap[at, 0], heap[at, 1] = count, key
    while at and above(heap, at, (at - 1) // 2):
        swap(heap, at, (at - 1) // 2)
        at = (at - 1) // 2


@compiled
def pop(core: Core) -> None:
    """Take the heap's first entry off."""
    core.cursor[IN_HEAP] -= 1
    swap(core.heap, 0, core.cursor[IN_HEAP])
    sink(core)


@compiled
def best_pair(core: Core, stale: bool, least: int) -> int:
    """The pair of the largest count, the smallest pair among equals, taken off the heap; -1 below `least`, or if empty.

    An entry above the true count is put right and sinks. `stale`: it is dropped instead, as in the published code,
    which pushes every count anew.
    """
    while core.cursor[IN_HEAP] > 0:
        count, key = core.heap[0, 0], core.heap[0, 1]
        row = pair_of(key, core)
        current = core.pairs[row, COUNT]
        if current == count:
            if current < least:
                return -1
            pop(core)
            return row
        if not stale and 0 < current < count:
            core.heap[0, 0] = current
            sink(core)
        else:
            pop(core)
    return -1
