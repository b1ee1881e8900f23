"""Where a pass over the shards of a large dataset runs: in this process, in several, or on several machines.

Methods do not call an executor: they describe a pass as a map over shards and a merge (`worker.executor.passes`), and
the runtime gives the context the executor that its operator chose. All of them give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from worker.contract.context import Context

S = TypeVar("S")
P = TypeVar("P")


class Executor(Protocol):
    """Maps shards. One belongs to one context; it may be used from one thread."""

    def map(
        self, function: Callable[[S], P], shards: Sequence[S], ctx: Context, *, name: str, start: int = 0
    ) -> Iterator[P]:
        """`function` of every shard from number `start` on, in their order; `name` is what a reader calls the pass.

        `function.setup()`, where there is one, is called once in every process that maps. What the iterator gives
        belongs to the caller, who may change it. Progress counts the shards that were taken; `Cancelled` is raised
        while waiting, too.
        """
        ...

    def close(self) -> None:
        """Let go of processes and connections; a later `map` finds new ones."""
        ...


class InProcess:
    """One shard after the other, here. A stop that was asked for is seen between two shards."""

    def map(
        self, function: Callable[[S], P], shards: Sequence[S], ctx: Context, *, name: str, start: int = 0
    ) -> Iterator[P]:
        """See `Executor.map`."""
        ctx.progress(start, len(shards), phase=name)
        set_up(function)
        for at in range(start, len(shards)):
            yield function(shards[at])
            ctx.progress(at + 1, len(shards), phase=name)

    def close(self) -> None:
        """Nothing is held."""


def set_up(function: Callable[[S], P]) -> None:
    """Call the function's `setup`, if it has one: it loads what every shard needs."""
    if (setup := getattr(function, "setup", None)) is not None:
        setup()
