"""Learn a vocabulary from a corpus: the loop around `vocabulary_core`, which grows arrays, reports and can be resumed.

Time is about proportional to the events that merges touch; memory to events x m² (every pair within and between
neighbouring actions is counted once in the index). Resuming needs the chains and the rules alone: counts, index and
heap follow from them. Only `stale` counts do not, so that such a run starts anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import lcm
from typing import Literal

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.sequences.pieces import pairs as p
from worker.kinds.sequences.pieces import vocabulary_core as core_loops
from worker.kinds.sequences.pieces.pairs import Core
from worker.kinds.sequences.pieces.vocabulary import Vocabulary
from worker.numerics.compiled import WARM_UPS, ready

EXACT_UP_TO = 12
"""Features up to which weights are whole numbers of units; above it they are rounded to 2^-24, the same everywhere."""
WORK = 400_000
"""Nodes between two heartbeats: well under a second."""


@dataclass(frozen=True)
class Rules:
    """How a vocabulary is learned.

    `size`: tokens wanted, padding and features included. `min_count`: the least count of a rule. `weighted`: False
    counts every pair once. `context`: False forbids merges across actions. `compat`: `stale` counts as the published
    code does, and knows no `min_count`.
    """

    size: int
    min_count: float = 2.0
    weighted: bool = True
    context: bool = True
    compat: Literal["exact", "stale"] = "exact"


def weights(m: int, weighted: bool) -> tuple[np.ndarray, np.ndarray, int]:
    """(in a set of n: 2 / n; between sets of n1 and n2: 1 / (n1 n2); scale), int64 in units of 1 / scale.

    The scale is lcm(1..m)², so that both are whole numbers.
    """
    sizes = np.arange(m + 1)
    if not weighted:
        return np.ones(m + 1, np.int64), np.ones((m + 1, m + 1), np.int64), 1
    scale = lcm(*range(1, m + 1)) ** 2 if m <= EXACT_UP_TO else 2**24
    safe = np.maximum(sizes, 1)
    half = safe // 2
    inside = (2 * scale + half) // safe
    product = np.outer(safe, safe)
    return inside.astype(np.int64), ((scale + product // 2) // product).astype(np.int64), scale


def start(indptr: np.ndarray, items: np.ndarray, item_tokens: np.ndarray, size: int, rules: Rules) -> tuple[Core, int]:
    """The arrays before anything is counted, and the scale of counts.

    `indptr` (n + 1,), `items` (events,): sequences of items; `item_tokens` (V, m): their features' tokens.
    """
    m = item_tokens.shape[1]
    inside, between, scale = weights(m, rules.weighted)
    if not rules.context:
        indptr = np.arange(len(items) + 1)
    lengths = np.diff(indptr)
    indptr, lengths = indptr[:-1][lengths > 0], lengths[lengths > 0]
    if len(items) * (m + 1) * scale > 2**62:
        raise JobError(
            "invalid_input",
            f"{len(items):,} events of {m} features count beyond 64 bits.",
            hint="Learn the vocabulary from fewer events: lower train_events.",
            pointer="/params/train_events",
        )
    nodes = np.zeros((len(items), core_loops.FIRST_TOKEN + m), np.int64)
    nodes[:, core_loops.NEXT] = np.arange(1, len(items) + 1)
    nodes[:, core_loops.PREVIOUS] = np.arange(-1, len(items) - 1)
    nodes[indptr + lengths - 1, core_loops.NEXT] = -1
    nodes[indptr, core_loops.PREVIOUS] = -1
    nodes[:, core_loops.SIZE] = m
    nodes[:, core_loops.FIRST_TOKEN :] = item_tokens[items]
    return _arrays(nodes, indptr.astype(np.int64), lengths.astype(np.int64), inside, between, size), scale


def _arrays(
    nodes: np.ndarray, heads: np.ndarray, lengths: np.ndarray, inside: np.ndarray, between: np.ndarray, size: int
) -> Core:
    width = nodes.shape[1] - core_loops.FIRST_TOKEN
    longest = int(lengths.max(initial=1))
    most = longest * (width * (width - 1) // 2 + width * width + 2 * width)
    room = 4 * most + len(nodes) + 1024
    cursor = np.zeros(16, np.int64)
    cursor[p.FREE], cursor[p.MERGES] = -1, 1
    return Core(
        nodes=nodes, heads=heads, lengths=lengths, inside=inside, between=between,
        pairs=np.zeros((room, 9), np.int64), table=np.full(_power_of_two(2 * room), -1, np.int32),
        entries=np.zeros((room + 4 * len(nodes), 2), np.int32), heap=np.zeros((room, 2), np.int64),
        pending=np.zeros(len(heads), np.int64), seen=np.full(len(heads), -1, np.int64),
        touched=np.zeros(2 * most + 16, np.int64), changed=np.zeros(room, np.int64),
        loosened=np.zeros(longest + 1, np.int64), rules=np.zeros((size + 1, 2), np.int64),
        priority=np.zeros(size + 1, np.int64), cursor=cursor,
    )  # fmt: skip


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()


def with_more_room(core: Core) -> Core:
    """The same with twice the room wherever the longest sequence might not find any."""
    cursor, most = core.cursor, len(core.touched)
    grown = core
    if cursor[p.N_PAIRS] + most >= len(core.pairs):
        pairs = _twice(core.pairs)
        grown = grown._replace(pairs=pairs, changed=_twice(core.changed))
        grown = grown._replace(table=np.full(_power_of_two(2 * len(pairs)), -1, np.int32))
        p.refill(grown)
    if cursor[p.N_ENTRIES] + most >= len(core.entries):
        grown = grown._replace(entries=_twice(core.entries))
    if cursor[p.IN_HEAP] + cursor[p.CHANGED] + most >= len(core.heap):
        grown = grown._replace(heap=_twice(core.heap))
    return grown


def _twice(array: np.ndarray) -> np.ndarray:
    grown = np.zeros((2 * len(array), *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown


def run(core: Core, loop: Callable[[Core], int], heartbeat: Callable[[Core], None]) -> Core:
    """Run a loop to its end, with more room and a heartbeat when it asks for them."""
    while True:
        said = loop(core)
        if said == core_loops.NEEDS_ROOM:
            core = with_more_room(core)
        elif said == core_loops.DONE:
            return core
        heartbeat(core)


def learn(indptr: np.ndarray, items: np.ndarray, item_features: np.ndarray, rules: Rules, ctx: Context) -> Vocabulary:
    """Learn a vocabulary of `rules.size` tokens, or of as many as there are rules that count `min_count`.

    `indptr` int64 (n + 1,), `items` (events,): training sequences of items; `item_features` int64 (V, m) >= 0. Raises
    `JobError` where `size` is below the number of features.
    """
    initial = Vocabulary.of_features(item_features)
    if rules.size < initial.n_initial:
        raise JobError(
            "invalid_input",
            f"vocab_size is {rules.size:,}, but the features alone take {initial.n_initial:,} tokens.",
            hint=f"Ask for a vocab_size of at least {initial.n_initial}, or build features with fewer values.",
            pointer="/params/vocab_size",
        )
    point = ctx.restore()
    if point is not None and point.done:
        return Vocabulary(initial.categories, initial.features, point.arrays["rules"], point.arrays["priority"])
    core, scale = start(indptr, items, initial.tokens_of(item_features), rules.size, rules)
    learned, stale = initial.n_initial, rules.compat == "stale"
    if point is not None:
        learned = point.step
        core.nodes[:], core.heads[:] = point.arrays["nodes"], point.arrays["heads"]
        core.rules[:learned], core.priority[:learned] = point.arrays["rules"], point.arrays["priority"]

    def heartbeat(core: Core) -> None:
        done = int(core.cursor[p.N_TOKENS])
        ctx.progress(done - initial.n_initial, rules.size - initial.n_initial, phase="merge", tokens=done)
        if not stale and done and core.cursor[p.PENDING] < 0:
            arrays = {"nodes": core.nodes, "heads": core.heads, "rules": core.rules[:done]}
            ctx.checkpoint(done, arrays | {"priority": core.priority[:done]}, {})

    ready(warm_up, lambda: ctx.progress(0, 1, phase="compile"))
    core = counted(core, learned, heartbeat)
    least = 1 if stale else max(1, int(np.ceil(rules.min_count * scale)))
    core = run(core, lambda core: core_loops.merge_pairs(core, rules.size, stale, least, WORK), heartbeat)
    made = slice(initial.n_initial, int(core.cursor[p.N_TOKENS]))
    found = Vocabulary(initial.categories, initial.features, core.rules[made], core.priority[made] / scale)
    ctx.finish({"rules": found.rules, "priority": found.priority}, {})
    return found


def counted(core: Core, learned: int, heartbeat: Callable[[Core], None]) -> Core:
    """The same with everything counted, ready for merges; `learned`: tokens there are."""
    core = run(core, lambda core: core_loops.count_corpus(core, WORK), heartbeat)
    for token in range(1, learned):
        left, right = core.rules[token]
        if left:
            core.pairs[p.pair_of(p.key_of(left, right), core), p.TOKEN] = token
    core.cursor[p.N_TOKENS] = learned
    core.cursor[p.PENDING] = -1
    return core


def warm_up() -> None:
    """Learn two merges of a made-up corpus."""
    features = np.array([[0, 0], [0, 1], [1, 0]])
    initial = Vocabulary.of_features(features)
    rules = Rules(size=initial.n_initial + 2, min_count=0.0)
    items = np.array([0, 1, 0, 2, 1])
    core, _ = start(np.array([0, 3, 5]), items, initial.tokens_of(features), rules.size, rules)
    core = counted(with_more_room(core), initial.n_initial, lambda _: None)
    run(core, lambda core: core_loops.merge_pairs(core, rules.size, False, 1, WORK), lambda _: None)


WARM_UPS.append(warm_up)
