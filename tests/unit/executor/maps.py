"""Maps for the tests of executors; in a module of their own, so that other processes can import them."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worker.contract.errors import JobError


@dataclass
class Waves:
    """Sums of sines over a range: floating point whose bits tell in which order it was added."""

    mapped: list[int] = field(default_factory=list[int])
    ready: int = 0

    def setup(self) -> None:
        self.ready += 1

    def __call__(self, shard: int) -> dict[str, Any]:
        assert self.ready == 1
        self.mapped.append(shard)
        return {"sum": np.sin(np.arange(1000.0) + shard).astype(np.float32).cumsum(), "rows": 1000 + shard}


def add(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """Add the right one to the left one, in place."""
    left["sum"] += right["sum"]
    return {"sum": left["sum"], "rows": left["rows"] + right["rows"]}


@dataclass(frozen=True)
class Marked:
    """Leaves a file for every shard that it begins, which says in which process."""

    folder: Path

    def __call__(self, shard: int) -> int:
        with (self.folder / str(shard)).open("a") as file:
            file.write(f"{os.getpid()}\n")
        return self.work(shard)

    def work(self, shard: int) -> int:
        return shard

    def tries(self, shard: int) -> int:
        """How often a shard was begun."""
        path = self.folder / str(shard)
        return len(path.read_text().splitlines()) if path.exists() else 0

    def processes(self) -> set[int]:
        """Who began any."""
        return {int(line) for path in self.folder.iterdir() for line in path.read_text().splitlines()}


@dataclass(frozen=True)
class Deadly(Marked):
    """Kills its own process at shard 2, the first `times` times."""

    times: int = 1

    def work(self, shard: int) -> int:
        if shard == 2 and self.tries(shard) <= self.times:
            os.kill(os.getpid(), signal.SIGKILL)
        return shard * 10


@dataclass(frozen=True)
class Slow(Marked):
    """Sleeps at shard 0."""

    seconds: float = 60.0

    def work(self, shard: int) -> int:
        if shard == 0:
            time.sleep(self.seconds)
        return shard


def refuse(shard: int) -> int:
    """Refuses shard 1 at once, and shard 0 a little later."""
    if shard == 0:
        time.sleep(0.5)
    if shard < 2:
        raise JobError("invalid_input", f"Shard {shard} is bad.", hint="Mend it.", pointer="/files")
    return shard


def devour(shard: int) -> int:
    """Wants more memory than there is."""
    return int(np.ones(10**13).sum()) + shard


class OddError(Exception):
    """Comes out of a pickle only by failing again."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def fail_oddly(shard: int) -> int:
    """Raises what cannot be pickled."""
    raise OddError(shard, 2)
