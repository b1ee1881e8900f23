"""What a running method may ask of its surroundings: progress, cancel, checkpoints, randomness, device.

`Context()` as it stands works in a notebook: progress goes nowhere and checkpoints stay in memory. The child
process of a job uses a subclass that talks to its supervisor (`worker.runtime.child`).
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from worker.runtime.errors import Cancelled


@dataclass(frozen=True)
class Checkpoint:
    """A resume point: everything a method needs to go on as if it had never been stopped."""

    step: int
    arrays: dict[str, np.ndarray]
    state: dict[str, Any]


@dataclass
class Context:
    """The one object a method gets besides its data and its parameters.

    `seed`: int64, the job's seed. `device`: a torch device string. `deadline`: `time.monotonic()` seconds at which
    the job's time limit ends, or None. `degrade`: 1 after an attempt ran out of memory; halve batches then.
    """

    seed: int = 0
    device: str = "cpu"
    deadline: float | None = None
    degrade: int = 0
    inputs: dict[str, Any] = field(default_factory=dict[str, Any])
    warnings: list[str] = field(default_factory=list[str])
    _checkpoint: Checkpoint | None = None
    _stop: bool = False
    _span: tuple[float, float] = (0.0, 1.0)
    _phase: str = ""

    @property
    def rng(self) -> np.random.Generator:
        """A fresh generator seeded with the job's seed; calling twice gives the same stream twice."""
        return np.random.default_rng(self.seed)

    @property
    def cancelled(self) -> bool:
        """Whether a stop was asked for."""
        return self._stop

    def stop(self) -> None:
        """Ask the method to stop at its next `progress`."""
        self._stop = True

    def out_of_time(self) -> bool:
        """Whether the time limit has passed: a method with a best-so-far returns it, others raise `timeout`."""
        return self.deadline is not None and time.monotonic() > self.deadline

    def progress(self, step: int, total: int, *, phase: str = "", **metrics: float) -> None:
        """Say how far the current phase is; raises `Cancelled` when a stop was asked for."""
        start, end = self._span
        fraction = start + (end - start) * min(1.0, step / max(total, 1))
        self.report_progress(step, total, self._phase or phase, metrics, fraction)
        if self.cancelled:
            raise Cancelled

    @contextmanager
    def share(self, step: int, total: int, *, phase: str) -> Generator[None]:
        """What reports progress in here is step `step` of `total` of the work outside, and is called `phase`."""
        outer, outer_phase = self._span, self._phase
        width = (outer[1] - outer[0]) / max(total, 1)
        self._span = (outer[0] + width * step, outer[0] + width * (step + 1))
        self._phase = phase
        try:
            self.progress(0, 1)
            yield
        finally:
            self._span, self._phase = outer, outer_phase

    def report_progress(self, step: int, total: int, phase: str, metrics: Mapping[str, float], fraction: float) -> None:
        """Pass progress on (`fraction` of everything, 0 to 1); the child process overrides this."""

    def checkpoint(self, step: int, arrays: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Offer a resume point (tensors or arrays, and JSON-able state); written when one is due."""
        if self.checkpoint_due():
            copies = {name: np.array(_to_numpy(value)) for name, value in arrays.items()}
            self.save_checkpoint(Checkpoint(step, copies, dict(state)))

    def checkpoint_due(self) -> bool:
        """Whether an offered checkpoint would be written now."""
        return True

    def save_checkpoint(self, point: Checkpoint) -> None:
        """Keep a resume point; the child process overrides this to write it to disk."""
        self._checkpoint = point

    def restore(self) -> Checkpoint | None:
        """The last resume point of an earlier attempt of this very job, or None."""
        return self._checkpoint

    def warn(self, text: str) -> None:
        """Add a sentence to the report's warnings."""
        if text not in self.warnings:
            self.warnings.append(text)

    def log(self, text: str) -> None:
        """Write a line to the job's log; the child process overrides this."""


def _to_numpy(value: Any) -> np.ndarray:
    return value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)
