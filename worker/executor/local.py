"""A pool of processes on this machine.

Each is a fresh interpreter that is started, never forked, so that it does not matter which threads or devices this
process uses; it inherits this process's limits and its process group. `concurrent.futures` would do with less code,
but there one dead process breaks the pool without saying whose shard it was, and none can be ended while it works.

Processes outlive a pass: the next one finds its libraries imported. `close` ends them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import TypeVar

from worker.contract.context import Context
from worker.contract.executor import InProcess
from worker.executor.dispatch import Died, InOrder
from worker.executor.mapper import Outcome, outcome_of, to_bytes

S = TypeVar("S")
P = TypeVar("P")

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, eq=False)
class _Hand:
    process: subprocess.Popen[bytes]
    link: Connection

    def end(self) -> None:
        self.link.close()
        self.process.kill()
        self.process.wait()


class Local:
    """`processes` of them, which share `threads` (0: those of this machine); one process means this one, no other.

    A pass with a single shard runs in this process, too.
    """

    def __init__(self, processes: int = 1, *, threads: int = 0) -> None:
        if processes < 1:
            raise ValueError(f"a pool has a process, not {processes}")
        self.processes = processes
        self._threads = max(1, (threads or os.cpu_count() or 1) // processes)
        self._spare: list[_Hand] = []

    def map(
        self, function: Callable[[S], P], shards: Sequence[S], ctx: Context, *, name: str, start: int = 0
    ) -> Iterator[P]:
        """See `Executor.map`. JobError `worker_lost` for a shard whose process dies again and again."""
        if min(self.processes, len(shards) - start) <= 1:
            return InProcess().map(function, shards, ctx, name=name, start=start)
        return InOrder(_Crew(self, to_bytes(function)), shards, ctx, name=name, start=start).partials()

    def close(self) -> None:
        """End every process that waits for work."""
        while self._spare:
            self._spare.pop().end()

    def take(self) -> _Hand:
        """A process that waits for work; OSError when it cannot be started."""
        while self._spare:
            if (hand := self._spare.pop()).process.poll() is None:
                return hand
            hand.end()
        ours, theirs = Pipe()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "worker.executor.process", str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **self._environment()},
                pass_fds=[theirs.fileno()],
            )
        return _Hand(process, ours)

    def give_back(self, hand: _Hand) -> None:
        """Keep a process for the next pass, unless there are enough."""
        if len(self._spare) < self.processes:
            self._spare.append(hand)
        else:
            hand.end()

    def _environment(self) -> dict[str, str]:
        return dict.fromkeys(_THREADS, str(self._threads))


class _Crew:
    """The processes of one pass."""

    def __init__(self, pool: Local, function: bytes) -> None:
        self._pool, self._function = pool, function
        self.size = pool.processes

    def hire(self) -> _Hand:
        hand = self._pool.take()
        self._send(hand, "function", self._function)
        return hand

    def assign(self, hand: _Hand, shard: object) -> None:
        self._send(hand, "shard", to_bytes(shard))

    def wait(self, hands: Sequence[_Hand], timeout_s: float) -> list[_Hand]:
        ready = wait([hand.link for hand in hands], timeout_s)
        return [hand for hand in hands if hand.link in ready]

    def result(self, hand: _Hand) -> Outcome:
        try:
            return outcome_of(hand.link.recv_bytes())
        except (EOFError, OSError):
            hand.end()
            raise Died(_how_it_ended(hand.process.returncode)) from None

    def dismiss(self, hand: _Hand, *, idle: bool) -> None:
        if idle:
            self._pool.give_back(hand)
        else:
            hand.end()

    def _send(self, hand: _Hand, what: str, content: bytes) -> None:
        try:
            hand.link.send((what, content))
        except (BrokenPipeError, ConnectionResetError):
            pass  # it is dead, which `result` sees


def _how_it_ended(code: int) -> str:
    return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
