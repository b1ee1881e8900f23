"""ActionPiece's counting and merging once more, as plainly as can be: what the compiled loops are held against."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import pairwise

Pair = tuple[int, int]


def counts(chain: list[list[int]]) -> Counter[Pair]:
    """Exact weights of all pairs of a chain: action set, slot, action set, slot, ..., action set."""
    found: Counter[Pair] = Counter()

    def add(one: int, other: int, weight: Fraction) -> None:
        found[min(one, other), max(one, other)] += weight

    def across(left: list[int], right: list[int]) -> None:
        for one in left:
            for other in right:
                add(one, other, Fraction(1, len(left) * len(right)))

    for at in range(0, len(chain), 2):
        here = chain[at]
        for i, one in enumerate(here):
            for other in here[i + 1 :]:
                add(one, other, Fraction(2, len(here)))
        if at + 2 < len(chain):
            slot, after = chain[at + 1], chain[at + 2]
            if slot:
                across(here, slot)
                across(slot, after)
            else:
                across(here, after)
    return found


def chain_of(core: object, sequence: int) -> list[list[int]]:
    """The chain of a sequence, read from the arrays of the compiled loops."""
    from worker.kinds.sequences.pieces import vocabulary_core as loops

    nodes, found = core.nodes, []
    node = core.heads[sequence]
    while node >= 0:
        size, slot = nodes[node, loops.SIZE], nodes[node, loops.SLOT]
        found.append(nodes[node, loops.FIRST_TOKEN : loops.FIRST_TOKEN + size].tolist())
        node = nodes[node, loops.NEXT]
        if node >= 0:
            found.append([int(slot)] if slot else [])
    return found


def flat_bpe(tokens: list[int], merged: dict[Pair, int]) -> list[int]:
    """Byte-pair encoding by scanning for the oldest rule, again and again."""
    while True:
        able = [
            (merged[pair], at)
            for at, (one, other) in enumerate(pairwise(tokens))
            if (pair := (min(one, other), max(one, other))) in merged
        ]
        if not able:
            return tokens
        token, at = min(able)
        tokens = [*tokens[:at], token, *tokens[at + 2 :]]
