"""Showing how far things are: a bar in a terminal, plain lines elsewhere, always on stderr."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TextIO

from distillery._downloading import Downloaded
from distillery._terminal import plain
from distillery._uploading import Uploaded

Progress = bool | Callable[[Any], object]
Report = Callable[[Any], object]

_LINE_EVERY_S = 5.0
_SHOWN_METRICS = 3


@contextmanager
def reporter(progress: Progress, label: str, stream: TextIO | None = None) -> Generator[Report]:
    """A function that is told every `Uploaded`, `Downloaded` and job event, and shows it for as long as the
    block runs.

    `progress`: True shows, False does not, a function is told instead.
    """
    label = plain(label)
    if callable(progress):
        yield progress
    elif not progress:
        yield _ignore
    elif (out := stream or sys.stderr).isatty():
        with _bars(label, out) as report:
            yield report
    else:
        with _lines(label, out) as report:
            yield report


def _shown(what: Any) -> tuple[str, float | None, str]:
    """`described`, for a terminal: the words are the service's and its workers'."""
    phase, fraction, note = described(what)
    return plain(phase), fraction, plain(note)


def _ignore(_: Any) -> None:
    return None


class PlainLines:
    """Progress as lines: one for each phase and state, one in five seconds in between, and one after five seconds
    in which nothing was heard."""

    def __init__(self, label: str, out: TextIO) -> None:
        self._label = label
        self._out = out
        self._phase = ""
        self._since = self._last = float("-inf")
        self._lock = threading.Lock()

    def __call__(self, what: Any) -> None:
        """Take note of what happened."""
        phase, fraction, note = _shown(what)
        if not phase:
            return
        now = time.monotonic()
        with self._lock:
            if phase == self._phase and now - self._last < _LINE_EVERY_S and fraction != 1.0:
                return
            self._since = self._since if phase == self._phase else now
            self._phase = phase
            percent = "" if fraction is None else f" {100 * fraction:3.0f} %"
            self._write(f"{phase}{percent}" + (f"  {note}" if note else ""), now)

    def remind(self) -> float:
        """Say again what goes on when nothing was said for long; the seconds until this is to be asked again."""
        now = time.monotonic()
        with self._lock:
            left = self._last + _LINE_EVERY_S - now
            if self._phase and left <= 0:
                self._write(f"{self._phase}, for {now - self._since:.0f} s", now)
            return left if left > 0 else _LINE_EVERY_S

    def _write(self, line: str, now: float) -> None:
        self._last = now
        print(f"{self._label}: {line}", file=self._out, flush=True)


@contextmanager
def _lines(label: str, out: TextIO) -> Generator[Report]:
    lines, over = PlainLines(label, out), threading.Event()

    def remind() -> None:
        pause = _LINE_EVERY_S
        while not over.wait(pause):
            pause = lines.remind()

    thread = threading.Thread(target=remind, daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        over.set()
        thread.join()


@contextmanager
def _bars(label: str, out: TextIO) -> Generator[Report]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
    )
    with Progress(*columns, console=Console(file=out), transient=False) as bars:
        bar = bars.add_task(label, total=None, note="")

        def report(what: Any) -> None:
            phase, fraction, note = _shown(what)
            if _is_remark(what):
                bars.console.print(f"{label}: {phase}", markup=False, highlight=False)
            elif phase:
                total, completed = (None, 0.0) if fraction is None else (1.0, fraction)
                bars.update(bar, description=f"{label}: {phase}", total=total, completed=completed, note=note)

        yield report


def described(what: Any) -> tuple[str, float | None, str]:
    """What is going on, how much of it is done (0 to 1, None when unknown), and a note for the curious.

    An empty first word means that there is nothing to show.
    """
    if isinstance(what, Uploaded):
        return f"sending {what.file}", what.sent / what.total if what.total else None, _megabytes(what.sent)
    if isinstance(what, Downloaded):
        return (
            f"fetching {what.file}",
            what.received / what.total if what.total else None,
            _megabytes(what.received),
        )
    data: dict[str, Any] = what.get("data") or {}
    kind = what.get("type")
    if kind == "progress":
        return str(data.get("phase") or "running"), data.get("fraction"), _metrics(data.get("metrics") or {})
    if kind == "warning":
        return f"warning: {data.get('text') or data.get('message') or data}", None, ""
    if kind == "waiting":
        return f"queued, {_waits_for(data)}", None, ""
    if kind in ("succeeded", "failed", "cancelled"):
        return kind, 1.0 if kind == "succeeded" else None, ""
    shown = {"created": "queued", "started": "started", "cancelling": "stopping"}
    shown["requeued"] = "queued again"
    return shown.get(str(kind), ""), None, ""


def _waits_for(data: dict[str, Any]) -> str:
    if data.get("workers") == 0:
        return "and no worker is up that could run it"
    before = data.get("before") or 0
    return f"{before} of your jobs before it" if before > 1 else "1 of your jobs before it" if before else "next"


def _is_remark(what: Any) -> bool:
    return isinstance(what, dict) and what.get("type") == "warning"


def _metrics(metrics: dict[str, Any]) -> str:
    numbers = [(k, v) for k, v in metrics.items() if isinstance(v, int | float)][:_SHOWN_METRICS]
    return "  ".join(f"{name} {value:.4g}" for name, value in numbers)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
