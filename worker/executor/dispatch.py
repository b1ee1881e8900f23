"""Hands out shards to processes, wherever these are, and gives their partials out in order.

One loop serves every executor, so that all of them have the same order, the same bound on what is in flight, and the
same answer to a process that dies: its shard goes to another one, a bounded number of times.
"""

from __future__ import annotations

import heapq
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.executor.mapper import Outcome

H = TypeVar("H")

# How often a shard is given out before the pass gives up, and the longest wait between two looks at `ctx`, in seconds.
TRIES = 3
BEAT_S = 0.25
# A pass that has no process that is set up for this long has asked for what is not to be had, in seconds.
LONGEST_ARRIVAL_S = 600.0


class Died(Exception):
    """A process ended, or went out of reach, before it had answered; says how."""


class Crew(Protocol[H]):
    """The processes of one pass. A process that was hired or assigned a shard answers once; see `result`."""

    @property
    def size(self) -> int:
        """How many processes may work at once."""
        ...

    def hire(self) -> H:
        """A process that takes up the function of the pass; OSError where there is none to be had."""
        ...

    def assign(self, hand: H, shard: Any) -> None:
        """Let it map a shard."""
        ...

    def wait(self, hands: Sequence[H], timeout_s: float) -> Sequence[H]:
        """Those that have answered or died."""
        ...

    def result(self, hand: H) -> Outcome:
        """Its answer; raises `Died`."""
        ...

    def dismiss(self, hand: H, *, idle: bool) -> None:
        """It is no longer needed; one that is not idle is ended at once."""
        ...


class InOrder(Generic[H]):
    """One pass of a crew over shards, from number `start` on."""

    def __init__(self, crew: Crew[H], shards: Sequence[Any], ctx: Context, *, name: str, start: int) -> None:
        self._crew, self._shards, self._ctx, self._name = crew, shards, ctx, name
        self._given = start  # how many partials were given out, those before `start` included
        self._waiting = list(range(start, len(shards)))  # a heap: a shard that comes back goes first
        self._at_work: dict[int, tuple[H, int | None]] = {}  # by id; None: it takes up the function
        self._idle: list[H] = []
        self._answered: dict[int, Outcome] = {}
        self._deaths: Counter[int | None] = Counter()
        self._last_arrival = time.monotonic()

    def partials(self) -> Iterator[Any]:
        """The partials in order. What is in flight, or has been mapped before its turn, is twice the crew at most."""
        self._report()
        try:
            while self._given < len(self._shards):
                self._hand_out()
                while (outcome := self._answered.pop(self._given, None)) is not None:
                    partial = outcome.value()  # an error is raised in its turn, so that it is always the same one
                    self._given += 1
                    yield partial
                    self._report()
                    self._hand_out()
                if self._at_work:
                    self._gather()
        finally:
            for hand, _ in self._at_work.values():
                self._crew.dismiss(hand, idle=False)
            for hand in self._idle:
                self._crew.dismiss(hand, idle=True)

    def _report(self) -> None:
        self._ctx.progress(self._given, len(self._shards), phase=self._name)

    def _hand_out(self) -> None:
        """Give every idle process a shard, and hire while there are more shards than processes."""
        while self._waiting and self._waiting[0] < self._given + 2 * self._crew.size:
            if not self._idle:
                arriving = sum(at is None for _, at in self._at_work.values())
                if len(self._at_work) < self._crew.size and arriving < len(self._waiting) and self._hire():
                    continue
                return
            hand = self._idle.pop()
            at = heapq.heappop(self._waiting)
            self._crew.assign(hand, self._shards[at])
            self._at_work[id(hand)] = hand, at

    def _hire(self) -> bool:
        """Whether there was a process to be had; those at work go on without it."""
        try:
            hand = self._crew.hire()
        except OSError as error:
            if self._at_work:
                return False
            raise JobError(
                "executor_unavailable",
                f"{self._name}: no process could be started ({error}).",
                hint="Ask the operator for a higher limit of processes on the worker.",
            ) from error
        self._at_work[id(hand)] = hand, None
        return True

    def _gather(self) -> None:
        for hand in self._crew.wait([hand for hand, _ in self._at_work.values()], BEAT_S):
            _, at = self._at_work.pop(id(hand))
            try:
                outcome = self._crew.result(hand)
            except Died as death:
                self._note_death(at, str(death))
                continue
            self._idle.append(hand)
            if at is None:
                outcome.value()
                del self._deaths[None]  # the place is a sound one
            else:
                self._answered[at] = outcome
        self._report()
        self._mind_absence()

    def _note_death(self, at: int | None, how: str) -> None:
        which = "a process" if at is None else f"the process at shard {at + 1} of {len(self._shards)}"
        self._ctx.log(f"{self._name}: {which} {how}.")
        self._deaths[at] += 1
        if at is not None:
            heapq.heappush(self._waiting, at)
        if self._deaths[at] >= TRIES:
            raise JobError(
                "worker_lost",
                f"{self._name}: {which} {how}, {TRIES} times in all.",
                hint="If it was killed for memory, give the job more (limits.memory_mb) or the service fewer "
                "DISTILLERY_EXECUTOR_PROCESSES.",
            )

    def _mind_absence(self) -> None:
        if self._idle or any(at is not None for _, at in self._at_work.values()):
            self._last_arrival = time.monotonic()
        elif time.monotonic() - self._last_arrival > LONGEST_ARRIVAL_S:
            raise JobError(
                "executor_unavailable",
                f"{self._name}: no process took up the pass within {LONGEST_ARRIVAL_S:g} s.",
                hint="Ask the operator whether the executor has free processors (DISTILLERY_RAY_ADDRESS).",
            )
