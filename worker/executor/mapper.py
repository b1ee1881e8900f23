"""The end of a pass that maps: whichever process it runs in, it takes bytes and answers in bytes.

Everything that goes wrong here is an answer, so that it can be raised where the pass was asked for: a function that
cannot be imported, a shard whose data is bad, memory that ran out. A process that dies cannot answer; whoever waits
for it sees that.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from worker.contract.executor import set_up


@dataclass(frozen=True)
class Outcome:
    """What came of a function or of a shard: a partial, or an error."""

    partial: Any = None
    error: Exception | None = None

    def value(self) -> Any:
        """The partial; raises the error if there was one."""
        if self.error is not None:
            raise self.error
        return self.partial


class Mapper:
    """Maps shards with the function it has taken up; one shard at a time."""

    def __init__(self) -> None:
        self._function: Callable[[Any], Any] | None = None

    def take_up(self, function: bytes) -> bytes:
        """Unpickle the function of a pass and set it up; answers with an empty outcome."""
        return _outcome(lambda: self._take_up(function))

    def map(self, shard: bytes) -> bytes:
        """The outcome of a pickled shard."""
        return _outcome(lambda: self._map(shard))

    def _take_up(self, function: bytes) -> None:
        self._function = None  # what the last one held is free before the next one loads
        unpickled = pickle.loads(function)  # noqa: S301 - from the process that started this one
        set_up(unpickled)
        self._function = unpickled

    def _map(self, shard: bytes) -> Any:
        if self._function is None:
            raise RuntimeError("a shard came before the function of its pass")
        return self._function(pickle.loads(shard))  # noqa: S301 - from the same


def to_bytes(value: Any) -> bytes:
    """A function, a shard or an outcome on its way to another process."""
    return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)


def outcome_of(answer: bytes) -> Outcome:
    """The outcome back; its arrays are in memory of their own."""
    return pickle.loads(answer)  # noqa: S301 - from a process of ours


def _outcome(work: Callable[[], Any]) -> bytes:
    try:
        return to_bytes(Outcome(work()))
    except Exception as error:
        return _answer_of(error)


def _answer_of(error: Exception) -> bytes:
    error.add_note(traceback.format_exc())
    try:
        answer = to_bytes(Outcome(error=error))
        pickle.loads(answer)  # noqa: S301 - some exceptions come out of a pickle only by failing again
        return answer
    except Exception:
        return to_bytes(Outcome(error=RuntimeError(f"{type(error).__name__}: {error}")))
