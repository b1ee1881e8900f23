"""The life of a piece of work: once undisturbed, in a process of its own; once stopped half way and taken up again.

The undisturbed run may take no more private memory than it declares, as a job with such a limit. What it says of its
progress is timed: between two reports it cannot be cancelled. Resume points and kept files reach the second attempt
through files, as they reach the next child of a job.
"""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

from worker.contract.context import Context
from worker.contract.errors import Cancelled
from worker.contract.keep import Keep
from worker.runtime import limits
from worker.runtime.stored_points import read_points, write_points

CPU_LIMIT_S, CANCEL_WITHIN_S = 20.0, 2.0


class Work(Protocol):
    """Work that can be tried, also in another process."""

    def do(self, ctx: Context) -> Any:
        """Do it."""

    def outcome(self, made: Any) -> str:
        """A hash of all that came of it."""


class Attempt(Context):
    """An attempt at work whose durable files lie in `folder`; it is told to stop at its report `stop_at`, if any."""

    def __init__(self, folder: Path, *, stop_at: int = 0) -> None:
        super().__init__(seed=7, content="tiny")
        self.reports = 0
        self.silence_s = 0.0
        self._heard = time.process_time()
        self._folder, self._stop_at = folder, stop_at
        if (folder / "points").exists():
            self._points = read_points(folder / "points")[0]

    def report_progress(self, *_: object) -> None:
        self.heard()
        self.reports += 1
        if self.reports == self._stop_at:
            self.stop()

    def heard(self) -> None:
        """Note how much CPU time has passed since something was last said."""
        now = time.process_time()
        self.silence_s, self._heard = max(self.silence_s, now - self._heard), now

    def open_keep(self, path: str) -> Keep:
        return Keep(self._folder / "keep" / path)

    def leave(self) -> None:
        """Write the resume points for the next attempt."""
        write_points(self._folder / "points", self._points, {})


@dataclass(frozen=True)
class Undisturbed:
    """What came of an undisturbed run, its CPU time, how often it reported progress, and its longest silence."""

    outcome: str
    cpu_s: float
    reports: int
    silence_s: float


def live(work: Work, memory_mb: int, folder: Path) -> None:
    """Assert that work keeps the rules of `docs/adding_a_kind.md`, with this much memory."""
    whole = run_apart(work, memory_mb, folder / "whole")
    assert whole.cpu_s < CPU_LIMIT_S, f"it took {whole.cpu_s:.1f} s of CPU time"
    assert whole.reports > 0, "it never says how far it is, so that it cannot be cancelled"
    assert whole.silence_s < CANCEL_WITHIN_S, f"it cannot be cancelled for {whole.silence_s:.1f} s of CPU time"
    stopped = Attempt(folder / "two", stop_at=max(1, whole.reports // 2))
    (folder / "two").mkdir(parents=True)
    with pytest.raises(Cancelled):
        work.do(stopped)
    stopped.leave()
    again = work.outcome(work.do(Attempt(folder / "two")))
    assert again == whole.outcome, "what comes of it is not the same after a stop half way"


def run_apart(work: Work, memory_mb: int, folder: Path) -> Undisturbed:
    """Run work undisturbed in a process that has imported everything and nothing else, under a limit of memory."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.conformance.everything"])
    with ProcessPoolExecutor(1, mp_context=context) as process:
        return process.submit(_run, work, memory_mb, folder).result()


def _run(work: Work, memory_mb: int, folder: Path) -> Undisturbed:
    limits.apply(memory_mb, cuda=False)
    started = time.process_time()
    ctx = Attempt(folder)
    made = work.do(ctx)
    ctx.heard()
    return Undisturbed(work.outcome(made), time.process_time() - started, ctx.reports, ctx.silence_s)
