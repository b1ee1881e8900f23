"""Corpus-wide passes as a map over shards and an associative merge.

    sketch = run_pass(CountBuckets(projection), corpus.shards, operator.add, ctx, name="density sketch")
    for shard, scores in zip(corpus.shards, map_shards(Score(sketch), corpus.shards, ctx, name="scores")):
        ...

The map is a top-level function or an object of a top-level class with `__call__`: it is sent to other processes, so it
carries little, and opens files and models itself (`setup()`, called once a process, is the place for what every shard
needs). It must not depend on what it mapped before, on the number of threads, or on where it runs. What it makes of a
shard is a partial (`worker.executor.partials`). Partials are merged from left to right in the order of the shards, so
that every executor gives the same bits, floating point included.

A pass that is stopped and resumed repeats only what was lost, and gives the same bits. Passes of one context need names
of their own; `step` of `total` says which part of that context's work a pass is, as in `Context.part`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from worker.contract.context import Context
from worker.contract.errors import Cancelled
from worker.contract.keep import Keep
from worker.executor.partials import from_arrays, size_of, to_arrays

S = TypeVar("S")
P = TypeVar("P")

# Partials of `map_shards` become a durable file when they took this long to make, or are this large together.
KEEP_EVERY_S = 5.0
KEEP_AT_BYTES = 32_000_000


def run_pass(
    map: Callable[[S], P],
    shards: Sequence[S],
    merge: Callable[[P, P], P],
    ctx: Context,
    *,
    name: str,
    step: int = 0,
    total: int = 1,
) -> P:
    """The partials of all shards, merged.

    `merge` may change and return its first argument. Only the running merge is kept, in resume points that replace one
    another, and its end as one durable file. ValueError without shards: there is no neutral partial.
    """
    if not shards:
        raise ValueError(f"{name}: a pass needs a shard")
    with ctx.part(name, step, total) as part:
        kept = part.keep(f"merged-{len(shards)}")
        for entry in kept:
            _forget_running_merge(part)
            return from_arrays(entry)
        done, merged = _running_merge(part, len(shards))
        try:
            for partial in part.executor.map(map, shards, part, name=name, start=done):
                merged = merge(merged, partial) if done else partial
                done += 1
                _offer(part, done, len(shards), merged)
        except Cancelled:
            if done:
                _offer(part, done, len(shards), merged)
            raise
        kept.append(to_arrays(merged))
        _forget_running_merge(part)
        return merged


def map_shards(
    map: Callable[[S], P],
    shards: Sequence[S],
    ctx: Context,
    *,
    name: str,
    step: int = 0,
    total: int = 1,
    keep: bool = True,
) -> Iterator[P]:
    """The partials of all shards, in their order.

    Each is kept until the job's end, so that they take as much disk as they take together; `keep=False` for those that
    are not worth it: after a stop they are made again.
    """
    with ctx.part(name, step, total) as part:
        kept = part.keep(f"partials-{len(shards)}") if keep else None
        done = 0
        for entry in kept or ():
            partials = from_arrays(entry)
            done += len(partials)
            yield from partials
        if done == len(shards):
            return
        made = part.executor.map(map, shards, part, name=name, start=done)
        yield from made if kept is None else _kept(made, kept, part)


def _running_merge(part: Context, shards: int) -> tuple[int, Any]:
    """How many shards an earlier attempt had merged, and into what; another number of shards is other work."""
    point = part.restore()
    if point is None or point.done or point.state["shards"] != shards:
        return 0, None
    return point.step, from_arrays(point.arrays)


def _forget_running_merge(part: Context) -> None:
    """It has had its day, and would be written again with every resume point that follows."""
    if (point := part.restore()) is not None and not point.done:
        part.finish({}, {})


def _offer(part: Context, done: int, shards: int, merged: Any) -> None:
    part.checkpoint(done, to_arrays(merged), {"shards": shards})


def _kept(made: Iterator[P], kept: Keep, part: Context) -> Iterator[P]:
    """The same partials; each is durable before long, and at the latest when the pass ends or is stopped."""
    waiting: list[P] = []
    bytes_waiting, since = 0, time.monotonic()

    def write() -> None:
        if waiting:
            kept.append(to_arrays(waiting))
            waiting.clear()

    try:
        for partial in made:
            waiting.append(from_arrays(to_arrays(partial)))  # the caller may change what it gets
            bytes_waiting += size_of(partial)
            if bytes_waiting >= KEEP_AT_BYTES or time.monotonic() - since >= KEEP_EVERY_S:
                write()
                bytes_waiting, since = 0, time.monotonic()
            yield partial
    finally:
        write()
