"""Learning a vocabulary by merging pairs, in compiled loops (arXiv:2502.13581, section 3.2 and appendix).

A sequence is a chain of action nodes with a slot after each. An action node holds a set of tokens; a slot holds at most
one token, which stands for features of both its neighbours. Two tokens count by how often they would be adjacent if
every set were shuffled:

    in one set of n:                      2 / n
    in neighbouring sets of n1 and n2:    1 / (n1 n2), a filled slot between them being a set of one of its own

Counts are integers in units of 1 / scale, exact for up to 12 features, so that nothing drifts and ties are ties. A
merge looks only at sequences that hold the pair, and there recounts only around the nodes it touches: before a node or
a slot changes, what it adds to the counts is taken off (`_loosen`); when the sequence is done, it is added again.

With `stale` the counts are kept as the published code (commit ae8e61a) keeps them: what a pair had in a sequence from
which it vanishes is never taken off.
"""

from __future__ import annotations

import numpy as np

from worker.kinds.sequences.pieces.pairs import (
    BEFORE,
    CHANGED,
    COUNT,
    FIRST,
    IN_HEAP,
    KEY,
    LEFT,
    LOOSENED,
    MERGE,
    MERGED,
    MERGES,
    N_ENTRIES,
    N_PAIRS,
    N_TOKENS,
    NEW,
    NEW_TOKEN,
    OLD,
    PENDING,
    POSITION,
    RIGHT,
    SEQUENCE,
    STAMP,
    TOKEN,
    TOUCHED,
    Core,
    add_entry,
    best_pair,
    free_entries,
    key_of,
    pair_of,
    push,
)
from worker.numerics.compiled import compiled

NEXT, PREVIOUS, SLOT, SIZE, LOOSE, FIRST_TOKEN = range(6)
"""Columns of `nodes`: neighbours (-1: none), token of the slot after it (0: empty), tokens, flags, then the tokens."""
IN_SET, LINK, LISTED, GONE = 1, 2, 4, 8
"""Flags of a node: its set, or its link to the next one, is not counted now; it is in `loosened`; it was removed."""
DONE, NEEDS_ROOM, WORKING = 0, 1, 2
"""Why the loop returned: nothing is left to do, arrays must grow, or it is time for a heartbeat."""


@compiled
def _tally(one: int, other: int, weight: int, column: int, core: Core) -> None:
    """Add to what a pair has in this sequence, before (`OLD`) or after (`NEW`) its change."""
    row = pair_of(key_of(one, other), core)
    if core.pairs[row, STAMP] != core.cursor[SEQUENCE]:
        core.pairs[row, STAMP] = core.cursor[SEQUENCE]
        core.pairs[row, OLD] = core.pairs[row, NEW] = 0
        core.touched[core.cursor[TOUCHED]] = row
        core.cursor[TOUCHED] += 1
    core.pairs[row, column] += weight


@compiled
def _tally_set(node: int, column: int, core: Core) -> None:
    """Count the pairs within a node."""
    nodes, size = core.nodes, core.nodes[node, SIZE]
    for p in range(size):
        for q in range(p + 1, size):
            _tally(nodes[node, FIRST_TOKEN + p], nodes[node, FIRST_TOKEN + q], core.inside[size], column, core)


@compiled
def _tally_link(node: int, column: int, core: Core) -> None:
    """Count the pairs between a node and the next one, or of both with the slot between them."""
    nodes, after = core.nodes, core.nodes[node, NEXT]
    if after < 0:
        return
    slot, size, size_after = nodes[node, SLOT], nodes[node, SIZE], nodes[after, SIZE]
    if slot:
        for p in range(size):
            _tally(nodes[node, FIRST_TOKEN + p], slot, core.between[size, 1], column, core)
        for p in range(size_after):
            _tally(nodes[after, FIRST_TOKEN + p], slot, core.between[size_after, 1], column, core)
        return
    for p in range(size):
        for q in range(size_after):
            weight = core.between[size, size_after]
            _tally(nodes[node, FIRST_TOKEN + p], nodes[after, FIRST_TOKEN + q], weight, column, core)


@compiled
def _mark(node: int, flag: int, core: Core) -> None:
    if not core.nodes[node, LOOSE] & LISTED:
        core.loosened[core.cursor[LOOSENED]] = node
        core.cursor[LOOSENED] += 1
    core.nodes[node, LOOSE] |= flag | LISTED


@compiled
def _loosen_link(node: int, core: Core) -> None:
    """Take off what the link after a node counts; -1: there is no node."""
    if node >= 0 and not core.nodes[node, LOOSE] & LINK:
        _tally_link(node, OLD, core)
        _mark(node, LINK, core)


@compiled
def _loosen(node: int, core: Core) -> None:
    """Take off all that the tokens of a node count."""
    if not core.nodes[node, LOOSE] & IN_SET:
        _tally_set(node, OLD, core)
        _mark(node, IN_SET, core)
    _loosen_link(core.nodes[node, PREVIOUS], core)
    _loosen_link(node, core)


@compiled
def _tighten(core: Core) -> None:
    """Count again what was taken off, as it is now."""
    for i in range(core.cursor[LOOSENED]):
        node = core.loosened[i]
        flags = core.nodes[node, LOOSE]
        core.nodes[node, LOOSE] = flags & GONE
        if flags & GONE:
            continue
        if flags & IN_SET:
            _tally_set(node, NEW, core)
        if flags & LINK:
            _tally_link(node, NEW, core)
    core.cursor[LOOSENED] = 0


@compiled
def place_in(node: int, token: int, nodes: np.ndarray) -> int:
    """Where a token stands in a node, -1 when it is not there."""
    for p in range(nodes[node, SIZE]):
        if nodes[node, FIRST_TOKEN + p] == token:
            return p
    return -1


@compiled
def drop(node: int, place: int, nodes: np.ndarray) -> None:
    """Remove the token at a place of a node, the others keeping their order."""
    size = nodes[node, SIZE]
    for p in range(place, size - 1):
        nodes[node, FIRST_TOKEN + p] = nodes[node, FIRST_TOKEN + p + 1]
    nodes[node, SIZE] = size - 1


@compiled
def put_first(node: int, token: int, nodes: np.ndarray) -> None:
    """Put a token before the others of a node."""
    size = nodes[node, SIZE]
    for p in range(size, 0, -1):
        nodes[node, FIRST_TOKEN + p] = nodes[node, FIRST_TOKEN + p - 1]
    nodes[node, FIRST_TOKEN] = token
    nodes[node, SIZE] = size + 1


@compiled
def merge_in_set(node: int, left: int, right: int, token: int, core: Core) -> None:
    """Merge two tokens of one node."""
    if left == right or place_in(node, left, core.nodes) < 0 or place_in(node, right, core.nodes) < 0:
        return
    _loosen(node, core)
    drop(node, place_in(node, left, core.nodes), core.nodes)
    drop(node, place_in(node, right, core.nodes), core.nodes)
    put_first(node, token, core.nodes)


@compiled
def merge_with_slot(node: int, owner: int, left: int, right: int, token: int, core: Core) -> None:
    """Merge a token of `node` into that of the slot after `owner`."""
    slot = core.nodes[owner, SLOT]
    if slot != left and slot != right:
        return
    place = place_in(node, right if slot == left else left, core.nodes)
    if place >= 0:
        _loosen(node, core)
        _loosen_link(owner, core)
        drop(node, place, core.nodes)
        core.nodes[owner, SLOT] = token


@compiled
def merge_across(node: int, left: int, right: int, token: int, core: Core) -> None:
    """Merge a token of a node with one of the next, into the slot between them."""
    after = core.nodes[node, NEXT]
    here, there = place_in(node, left, core.nodes), place_in(after, right, core.nodes)
    if here < 0 or there < 0:
        here, there = place_in(node, right, core.nodes), place_in(after, left, core.nodes)
    if here >= 0 and there >= 0:
        _loosen(node, core)
        _loosen(after, core)
        drop(node, here, core.nodes)
        drop(after, there, core.nodes)
        core.nodes[node, SLOT] = token


@compiled
def close_gaps(sequence: int, core: Core) -> None:
    """Let empty nodes take the token of the slot before them, remove empty nodes with an empty slot; until stable."""
    nodes, again = core.nodes, True
    while again:
        again = False
        node = core.heads[sequence]
        while node >= 0:
            before = nodes[node, PREVIOUS]
            if nodes[node, SIZE] == 0 and before >= 0 and nodes[before, SLOT]:
                _loosen(node, core)
                put_first(node, nodes[before, SLOT], nodes)
                nodes[before, SLOT] = 0
                again = True
            node = nodes[node, NEXT]
        node = core.heads[sequence]
        while node >= 0:
            before, after = nodes[node, PREVIOUS], nodes[node, NEXT]
            if after >= 0 and nodes[node, SIZE] == 0 and nodes[node, SLOT] == 0:
                _loosen(node, core)
                if before < 0:
                    core.heads[sequence] = after
                else:
                    nodes[before, NEXT] = after
                nodes[after, PREVIOUS] = before
                nodes[node, LOOSE] |= GONE
                again = True
            node = after


@compiled
def _walk(sequence: int, left: int, right: int, token: int, core: Core) -> bool:
    """Merge everywhere in a sequence, from left to right; whether a node was emptied."""
    nodes, node, emptied = core.nodes, core.heads[sequence], False
    while node >= 0:
        after = nodes[node, NEXT]
        merge_in_set(node, left, right, token, core)
        if after >= 0:
            if nodes[node, SLOT]:
                merge_with_slot(node, node, left, right, token, core)
                merge_with_slot(after, node, left, right, token, core)
            else:
                merge_across(node, left, right, token, core)
            emptied |= nodes[node, SIZE] == 0 or nodes[after, SIZE] == 0
        node = after
    return emptied


@compiled
def _holds(sequence: int, left: int, right: int, core: Core) -> bool:
    """Whether both tokens are anywhere in a sequence."""
    nodes, node, one, other = core.nodes, core.heads[sequence], False, False
    while node >= 0:
        one |= nodes[node, SLOT] == left or place_in(node, left, nodes) >= 0
        other |= nodes[node, SLOT] == right or place_in(node, right, nodes) >= 0
        node = nodes[node, NEXT]
    return one and other


@compiled
def _loosen_all(sequence: int, core: Core) -> None:
    node = core.heads[sequence]
    while node >= 0:
        _loosen(node, core)
        node = core.nodes[node, NEXT]


@compiled
def _settle(sequence: int, stale: bool, core: Core) -> None:
    """Pass what changed in a sequence on to the counts of the corpus and to the index."""
    pairs = core.pairs
    for i in range(core.cursor[TOUCHED]):
        row = core.touched[i]
        old, new = pairs[row, OLD], pairs[row, NEW]
        if old == new or (stale and new == 0):
            continue
        if pairs[row, MERGE] != core.cursor[MERGES]:
            pairs[row, MERGE] = core.cursor[MERGES]
            pairs[row, BEFORE] = pairs[row, COUNT]
            core.changed[core.cursor[CHANGED]] = row
            core.cursor[CHANGED] += 1
        pairs[row, COUNT] += new - old
        if old == 0:
            add_entry(row, sequence, core)
    core.cursor[TOUCHED] = 0


@compiled
def _finish(stale: bool, core: Core) -> None:
    """Put the changed counts on the heap: those that rose (`stale`: all), and what is left of the merged pair."""
    pairs, merged = core.pairs, core.cursor[MERGED]
    for i in range(core.cursor[CHANGED]):
        row = core.changed[i]
        count, before = pairs[row, COUNT], pairs[row, BEFORE]
        if count > before or (stale and count != before) or (not stale and row == merged and count > 0):
            push(count, pairs[row, KEY], core)
        if not stale and count == 0:
            free_entries(row, core)
    core.cursor[CHANGED] = 0
    core.cursor[MERGES] += 1


@compiled
def _has_room(sequence: int, core: Core) -> bool:
    """Whether the arrays hold all that counting one more sequence, and finishing then, could add."""
    width = core.nodes.shape[1] - FIRST_TOKEN
    most = core.lengths[sequence] * (width * (width - 1) // 2 + width * width + 2 * width)
    cursor = core.cursor
    return (
        cursor[N_PAIRS] + most < core.pairs.shape[0]
        and 2 * (cursor[N_PAIRS] + most) < core.table.size
        and cursor[N_ENTRIES] + 2 * most < core.entries.shape[0]
        and cursor[IN_HEAP] + cursor[CHANGED] + 2 * most < core.heap.shape[0]
    )


@compiled
def count_corpus(core: Core, work: int) -> int:
    """Count all sequences, `work` nodes at most before it returns; then every pair is on the heap."""
    cursor = core.cursor
    while cursor[POSITION] < core.heads.size:
        sequence = cursor[POSITION]
        if not _has_room(sequence, core):
            return NEEDS_ROOM
        if work <= 0:
            return WORKING
        work -= core.lengths[sequence]
        cursor[SEQUENCE] += 1
        node = core.heads[sequence]
        while node >= 0:
            _tally_set(node, NEW, core)
            _tally_link(node, NEW, core)
            node = core.nodes[node, NEXT]
        _settle(sequence, False, core)
        cursor[POSITION] += 1
    _finish(False, core)
    return DONE


@compiled
def _begin(core: Core, stale: bool, least: int) -> bool:
    """Choose the next pair and the sequences it is in; False when there is none."""
    cursor = core.cursor
    row = best_pair(core, stale, least)
    if row < 0:
        return False
    key = core.pairs[row, KEY]
    cursor[LEFT], cursor[RIGHT], cursor[MERGED] = key >> 32, key & 0xFFFFFFFF, row
    cursor[NEW_TOKEN] = core.pairs[row, TOKEN]
    if stale or cursor[NEW_TOKEN] == 0:  # a pair that comes up again is merged into the token it has
        cursor[NEW_TOKEN] = cursor[N_TOKENS]
        core.rules[cursor[N_TOKENS], 0], core.rules[cursor[N_TOKENS], 1] = cursor[LEFT], cursor[RIGHT]
        core.priority[cursor[N_TOKENS]] = core.pairs[row, COUNT]
        core.pairs[row, TOKEN] = cursor[N_TOKENS]
        cursor[N_TOKENS] += 1
    cursor[PENDING] = cursor[POSITION] = 0
    entry = core.pairs[row, FIRST]
    while entry >= 0:
        sequence = core.entries[entry, 0]
        if core.seen[sequence] != cursor[MERGES]:
            core.seen[sequence] = cursor[MERGES]
            core.pending[cursor[PENDING]] = sequence
            cursor[PENDING] += 1
        entry = core.entries[entry, 1]
    return True


@compiled
def merge_pairs(core: Core, wanted: int, stale: bool, least: int, work: int) -> int:
    """Merge until there are `wanted` tokens or no pair counts `least`; returns early for room or after `work` nodes."""
    cursor = core.cursor
    while True:
        if cursor[PENDING] < 0 and (cursor[N_TOKENS] >= wanted or not _begin(core, stale, least)):
            return DONE
        while cursor[POSITION] < cursor[PENDING]:
            sequence = core.pending[cursor[POSITION]]
            if not _has_room(sequence, core):
                return NEEDS_ROOM
            if work <= 0:
                return WORKING
            work -= core.lengths[sequence]
            cursor[POSITION] += 1
            left, right, token = cursor[LEFT], cursor[RIGHT], cursor[NEW_TOKEN]
            if not _holds(sequence, left, right, core):
                continue
            cursor[SEQUENCE] += 1
            if stale:
                _loosen_all(sequence, core)
            if _walk(sequence, left, right, token, core):
                close_gaps(sequence, core)
            _tighten(core)
            _settle(sequence, stale, core)
        _finish(stale, core)
        cursor[PENDING] = -1
        if work <= 0:
            return WORKING
