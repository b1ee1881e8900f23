"""Sequences of items to tokens and back (arXiv:2502.13581, section 3.3).

* `feature`: set permutation regularisation. The features of every action are put in a random order, independently, and
  the flat list is merged as byte pairs are: the neighbours whose token is oldest, the leftmost of equals, until no rule
  applies. Another draw gives other tokens for the same actions.
* `none`: the sets themselves are merged, the pair of the largest `priority x weight` first; nothing is random.
* `token`: as `none`, then the tokens of each set in a random order.

O(L log L) per sequence of L features for `feature`, O(L m) per merge for the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from worker.kinds.sequences.pieces import learning
from worker.kinds.sequences.pieces import vocabulary_core as chain
from worker.kinds.sequences.pieces.pairs import Core, key_of, place_of
from worker.kinds.sequences.pieces.vocabulary import Vocabulary
from worker.kinds.sequences.rows import Rows, bounds, places
from worker.numerics.compiled import WARM_UPS, compiled

Shuffle = Literal["feature", "none", "token"]
_NOWHERE = -1


@compiled
def _index_rules(rules: np.ndarray, first: int, keys: np.ndarray, tokens: np.ndarray) -> None:
    """Fill a table from pairs to tokens; of rules that come twice the last counts, as in the published code."""
    mask = keys.size - 1
    for number in range(rules.shape[0]):
        key = key_of(rules[number, 0], rules[number, 1])
        place = place_of(key, mask)
        while keys[place] >= 0 and keys[place] != key:
            place = (place + 1) & mask
        keys[place], tokens[place] = key, first + number


@compiled
def _merged(one: int, other: int, keys: np.ndarray, tokens: np.ndarray) -> int:
    """The token that two tokens merge into, 0 when there is none."""
    mask, key = keys.size - 1, key_of(one, other)
    place = place_of(key, mask)
    while keys[place] >= 0:
        if keys[place] == key:
            return tokens[place]
        place = (place + 1) & mask
    return 0


@compiled
def _push(heap: np.ndarray, size: int, value: int) -> int:
    at = size
    heap[at] = value
    while at and heap[at] < heap[(at - 1) // 2]:
        heap[at], heap[(at - 1) // 2] = heap[(at - 1) // 2], heap[at]
        at = (at - 1) // 2
    return size + 1


@compiled
def _pop(heap: np.ndarray, size: int) -> int:
    """Move the least value behind the heap's new end, which is returned."""
    size -= 1
    heap[0], heap[size] = heap[size], heap[0]
    at = 0
    while True:
        best = at
        for child in (2 * at + 1, 2 * at + 2):
            if child < size and heap[child] < heap[best]:
                best = child
        if best == at:
            return size
        heap[at], heap[best] = heap[best], heap[at]
        at = best


@compiled
def _merge_flat(flat: np.ndarray, indptr: np.ndarray, keys: np.ndarray, tokens: np.ndarray, out: np.ndarray) -> None:
    """Merge flat lists in place; `out` (n,): the tokens that are left at the beginning of each list."""
    longest = 0
    for row in range(indptr.size - 1):
        longest = max(longest, indptr[row + 1] - indptr[row])
    heap = np.empty(3 * longest + 3, np.int64)
    after, before = np.empty(longest, np.int64), np.empty(longest, np.int64)
    merged = np.zeros(longest, np.int64)  # what a place and the next one merge into
    for row in range(indptr.size - 1):
        start, length, size = indptr[row], indptr[row + 1] - indptr[row], 0
        for at in range(length):
            after[at], before[at], merged[at] = at + 1, at - 1, 0
            if at + 1 < length:
                merged[at] = _merged(flat[start + at], flat[start + at + 1], keys, tokens)
                if merged[at]:
                    size = _push(heap, size, merged[at] << 32 | at)
        while size:
            at, token = heap[0] & 0xFFFFFFFF, heap[0] >> 32
            size = _pop(heap, size)
            if merged[at] != token:
                continue
            gone = after[at]
            merged[gone] = 0
            flat[start + at] = token
            after[at] = after[gone]
            if after[at] < length:
                before[after[at]] = at
            merged[at] = 0
            for left in (before[at], at):
                if left >= 0 and after[left] < length:
                    merged[left] = _merged(flat[start + left], flat[start + after[left]], keys, tokens)
                    if merged[left]:
                        size = _push(heap, size, merged[left] << 32 | left)
        kept, at = 0, 0
        while at < length:
            flat[start + kept] = flat[start + at]
            kept += 1
            at = after[at]
        out[row] = kept


@compiled
def _merge_sets(core: Core, first: int, priority: np.ndarray, keys: np.ndarray, tokens: np.ndarray) -> None:
    """Merge each sequence's sets, the largest `priority x weight` first, the first found of equals."""
    nodes, begin = core.nodes, chain.FIRST_TOKEN
    for sequence in range(core.heads.size):
        while True:
            best, best_node, best_owner = -1.0, _NOWHERE, _NOWHERE
            best_left, best_right, best_token = 0, 0, 0
            node = core.heads[sequence]
            while node >= 0:
                size, after, slot = nodes[node, chain.SIZE], nodes[node, chain.NEXT], nodes[node, chain.SLOT]
                for i in range(size):
                    for j in range(i + 1, size):
                        token = _merged(nodes[node, begin + i], nodes[node, begin + j], keys, tokens)
                        if token and priority[token - first] * 2 / size > best:
                            best, best_token = priority[token - first] * 2 / size, token
                            best_left, best_right = nodes[node, begin + i], nodes[node, begin + j]
                            best_node, best_owner = node, _NOWHERE
                if after >= 0 and slot:
                    for side in (node, after):
                        for i in range(nodes[side, chain.SIZE]):
                            token = _merged(nodes[side, begin + i], slot, keys, tokens)
                            if token and priority[token - first] / nodes[side, chain.SIZE] > best:
                                best, best_token = priority[token - first] / nodes[side, chain.SIZE], token
                                best_left, best_right = nodes[side, begin + i], slot
                                best_node, best_owner = side, node
                elif after >= 0:
                    for i in range(size):
                        for j in range(nodes[after, chain.SIZE]):
                            token = _merged(nodes[node, begin + i], nodes[after, begin + j], keys, tokens)
                            if token and priority[token - first] / (size * nodes[after, chain.SIZE]) > best:
                                best = priority[token - first] / (size * nodes[after, chain.SIZE])
                                best_left, best_right = nodes[node, begin + i], nodes[after, begin + j]
                                best_node, best_owner, best_token = node, node, token
                node = after
            if best_node < 0:
                break
            left, right = min(best_left, best_right), max(best_left, best_right)
            if best_owner < 0:
                chain.merge_in_set(best_node, left, right, best_token, core)
            elif nodes[best_owner, chain.SLOT]:
                chain.merge_with_slot(best_node, best_owner, left, right, best_token, core)
            else:
                chain.merge_across(best_node, left, right, best_token, core)
            chain.close_gaps(sequence, core)


@compiled
def _read_sets(core: Core, indptr: np.ndarray, flat: np.ndarray, group: np.ndarray, counts: np.ndarray) -> None:
    """Tokens of every sequence from `indptr` on, and the number of the set or slot that each is in."""
    nodes, groups = core.nodes, 0
    for sequence in range(core.heads.size):
        at, node = indptr[sequence], core.heads[sequence]
        while node >= 0:
            for i in range(nodes[node, chain.SIZE]):
                flat[at], group[at] = nodes[node, chain.FIRST_TOKEN + i], groups
                at += 1
            if nodes[node, chain.NEXT] >= 0 and nodes[node, chain.SLOT]:
                flat[at], group[at] = nodes[node, chain.SLOT], groups + 1
                at += 1
            groups += 2
            node = nodes[node, chain.NEXT]
        counts[sequence] = at - indptr[sequence]


@dataclass(frozen=True)
class Encoder:
    """A vocabulary with the features of items: `item_tokens` int64 (V, m), their tokens."""

    vocabulary: Vocabulary
    item_tokens: np.ndarray

    @classmethod
    def of(cls, vocabulary: Vocabulary, item_features: np.ndarray) -> Encoder:
        """From features int64 (V, m) of items."""
        return cls(vocabulary, vocabulary.tokens_of(item_features))

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        size = 1 << (2 * len(self.vocabulary.rules) + 15).bit_length()
        keys, tokens = np.full(size, -1, np.int64), np.zeros(size, np.int64)
        _index_rules(np.ascontiguousarray(self.vocabulary.rules, np.int64), self.vocabulary.n_initial, keys, tokens)
        return keys, tokens

    def encode(self, rows: Rows, shuffle: Shuffle = "none", rng: np.random.Generator | None = None) -> Rows:
        """Tokens of every row of items, without begin and end. `rng` draws the order of what is shuffled; ValueError
        where there is none then."""
        m = self.item_tokens.shape[1]
        if rng is None:
            if shuffle != "none":
                raise ValueError("a random order needs a generator")
            rng = np.random.default_rng(0)  # which nothing draws from
        if shuffle == "feature":
            flat = rng.permuted(self.item_tokens[rows.items], axis=1).reshape(-1)
            indptr, kept = rows.indptr * m, np.zeros(len(rows), np.int64)
            _merge_flat(flat, indptr, *self._table, kept)
            return Rows(bounds(kept), flat[places(indptr[:-1], kept)].astype(np.int32))
        flat, group, kept = self._sets(rows)
        at = places((rows.indptr * m)[:-1], kept)
        flat, group = flat[at], group[at]
        if shuffle == "token":
            flat = flat[np.lexsort((rng.random(len(flat)), group))]
        return Rows(bounds(kept), flat.astype(np.int32))

    def _sets(self, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        m = self.item_tokens.shape[1]
        full = np.flatnonzero(rows.lengths > 0)
        flat, group = np.zeros((2, len(rows.items) * m), np.int64)
        counts = np.zeros(len(rows), np.int64)
        if len(full):
            rules = learning.Rules(size=0)
            core, _ = learning.start(rows.indptr, rows.items, self.item_tokens, 1, rules)
            core.nodes[:, chain.LOOSE] = chain.IN_SET | chain.LINK | chain.LISTED  # nothing is counted here
            priority = np.append(self.vocabulary.priority, 0.0)
            _merge_sets(core, self.vocabulary.n_initial, priority, *self._table)
            found = np.zeros(len(full), np.int64)
            _read_sets(core, (rows.indptr * m)[full], flat, group, found)
            counts[full] = found
        return flat, group, counts

    @cached_property
    def labels(self) -> Rows:
        """The tokens of every item alone, the same each time: what a model learns to write, V rows."""
        every = np.arange(len(self.item_tokens), dtype=np.int32)
        return self.encode(Rows(np.arange(len(every) + 1), every))

    @cached_property
    def _by_features(self) -> dict[tuple[int, ...], int]:
        return {tuple(row): item for item, row in enumerate(self.item_tokens.tolist())}

    def decode(self, tokens: np.ndarray) -> int | None:
        """The item whose features the tokens (k,) of one action stand for, each once; None where there is none."""
        features = np.sort(self.vocabulary.expanded(np.asarray(tokens)))
        return self._by_features.get(tuple(features.tolist()))


def warm_up() -> None:
    """Have the loops compiled."""
    features = np.array([[0, 0], [0, 1], [1, 0]])
    vocabulary = Vocabulary.of_features(features)
    vocabulary = Vocabulary(2, vocabulary.features, np.array([[1, 3]]), np.ones(1))
    encoder = Encoder.of(vocabulary, features)
    for shuffle in ("feature", "none"):
        encoder.encode(Rows.of([[0, 1]]), shuffle, np.random.default_rng(0))


WARM_UPS.append(warm_up)
