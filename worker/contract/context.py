"""What a running method may ask for: progress, cancel, resume points, durable files, randomness, device, time.

`Context()` as it stands works in a notebook: progress goes nowhere, resume points stay in memory, durable files in a
temporary folder. The child process of a job uses a subclass that talks to its supervisor
(`worker.runtime.child_context`).

Work that consists of parts (a search, a teacher and its student, an ensemble, a learner trained on many sets) gives
each a context of its own:

    for number, seed in enumerate(seeds):
        with ctx.part(f"student {seed}", number, len(seeds)) as part:
            students.append(train(teacher, part))

A part reports progress within its share, keeps a resume point of its own, and draws from a random stream that its name
decides, so that neither order nor interruption changes what comes out.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from worker.contract.errors import Cancelled
from worker.contract.executor import Executor, InProcess
from worker.contract.keep import Keep, to_numpy
from worker.contract.text import storable


@dataclass(frozen=True)
class Checkpoint:
    """A resume point: everything needed to go on as if there had been no stop. `done`: nothing is left to do."""

    step: int
    arrays: dict[str, np.ndarray]
    state: dict[str, Any]
    done: bool = False


@dataclass(frozen=True)
class Figures:
    """Numbers that a job computed and later ones of the same tenant may use. `job`: its id, "" for this very job."""

    arrays: dict[str, np.ndarray]
    state: dict[str, Any]
    job: str = ""


@dataclass
class Context:
    """The one object a method gets besides its data and its parameters.

    `seed`: int64, the job's seed. `device`: a torch device string. `deadline`: `time.monotonic()` seconds at which
    the time limit of the present stage ends, or None. `degrade`: 1 after an attempt ran out of memory; halve batches
    then. `inputs`: what the method declared as such, by name; a list where it declared many. `evaluate`: for a method
    that judges, the kind's `evaluate` model. `credentials`: by name, only for methods that declare `needs=("llm",)`.
    `content`: hash of the dataset's content, "" where unknown. `executor`: where passes over shards run (see
    `worker.executor.passes`).
    """

    seed: int = 0
    device: str = "cpu"
    deadline: float | None = None
    degrade: int = 0
    inputs: dict[str, Any] = field(default_factory=dict[str, Any])
    evaluate: Any = None
    credentials: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)
    content: str = ""
    executor: Executor = field(default_factory=InProcess)
    warnings: list[str] = field(default_factory=list[str])
    _points: dict[str, Checkpoint] = field(default_factory=dict[str, Checkpoint], repr=False)
    _figures: dict[str, Figures] = field(default_factory=dict[str, Figures], repr=False)
    _kept: tempfile.TemporaryDirectory[str] | None = field(default=None, repr=False)
    _span: tuple[float, float] = (0.0, 1.0)
    _path: str = ""
    _stop: bool = False

    @property
    def rng(self) -> np.random.Generator:
        """A fresh generator seeded with `seed`; calling twice gives the same stream twice."""
        return np.random.default_rng(self.seed)

    # Stopping

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

    # Progress and words

    def progress(self, step: int, total: int, *, phase: str = "", **metrics: float) -> None:
        """Say how far the current phase is; raises `Cancelled` when a stop was asked for."""
        start, end = self._span
        fraction = start + (end - start) * min(1.0, step / max(total, 1))
        self.report_progress(step, total, phase, metrics, fraction)
        if self.cancelled:
            raise Cancelled

    def report_progress(self, step: int, total: int, phase: str, metrics: Mapping[str, float], fraction: float) -> None:
        """Pass progress on (`fraction` of everything, 0 to 1); the child process overrides this."""

    def warn(self, text: str) -> None:
        """Add a sentence to the report's warnings."""
        if (text := storable(text)) not in self.warnings:
            self.warnings.append(text)

    def log(self, text: str) -> None:
        """Write a line to the job's log; the child process overrides this."""

    # Parts

    @contextmanager
    def part(
        self, name: str, step: int = 0, total: int = 1, *, label: str = "", seed: int | None = None
    ) -> Generator[Context]:
        """Step `step` of `total` of this work, as a context of its own.

        `name` tells it from the other parts, in every attempt alike, and decides its seed unless one is given. `label`:
        what a reader is told to be going on, by default the name. Warnings reach the whole.
        """
        start, end = self._span
        width = (end - start) / max(total, 1)
        span = (start + width * step, start + width * (step + 1))
        path = f"{self._path}/{name.replace('/', '-')}"
        part = _Part(self._root, path, label or name, span, seed_of(self.seed, name) if seed is None else seed)
        part.progress(0, 1)
        yield part

    # Resume points

    def checkpoint(self, step: int, arrays: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Offer a resume point (tensors or arrays, and JSON-able state); written when one is due."""
        root = self._root
        if root.checkpoint_due():
            root._points[self._path] = _point(step, arrays, state, done=False)
            root.save_checkpoint(root._points)

    def finish(self, arrays: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Say that this is done, and what came of it: it replaces the resume points of this and of its parts."""
        root = self._root
        for path in [path for path in root._points if path.startswith(f"{self._path}/")]:
            del root._points[path]
        root._points[self._path] = _point(0, arrays, state, done=True)
        if root.checkpoint_due():
            root.save_checkpoint(root._points)

    def restore(self) -> Checkpoint | None:
        """The last resume point that an earlier attempt of this very job left here, or None."""
        return self._root._points.get(self._path)

    def checkpoint_due(self) -> bool:
        """Whether an offered checkpoint would be written now."""
        return True

    def save_checkpoint(self, points: Mapping[str, Checkpoint]) -> None:
        """Keep the resume points of all parts, by path; the child process overrides this to write them to disk."""

    # Durable files

    def keep(self, name: str) -> Keep:
        """Append-only files of this name that a resumed attempt finds again (see `worker.contract.keep`)."""
        return self._root.open_keep(f"{self._path.lstrip('/')}/{name}".lstrip("/"))

    def open_keep(self, path: str) -> Keep:
        """The files kept under a path; the child process overrides this, so that they outlive it."""
        if self._kept is None:
            self._kept = tempfile.TemporaryDirectory(prefix="kept-")
        return Keep(Path(self._kept.name) / path)

    # Figures that outlive the job

    def recall(self, key: str) -> Figures | None:
        """What an earlier job of this tenant remembered under a key; whoever makes keys puts all that matters in."""
        root = self._root
        return root._figures.get(key) or root.earlier_figures().get(key)

    def earlier_figures(self) -> Mapping[str, Figures]:
        """What earlier jobs remembered; nothing in a notebook."""
        return {}

    def remember(self, key: str, arrays: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        """Let later jobs recall these arrays and this JSON-able state, once this job has succeeded."""
        self._root._figures[key] = Figures({name: to_numpy(value) for name, value in arrays.items()}, dict(state))

    @property
    def _root(self) -> Context:
        return self


class _Part(Context):
    """A part of a whole: it has a path, a span and a seed of its own; for everything else it asks the root."""

    def __init__(self, root: Context, path: str, label: str, span: tuple[float, float], seed: int) -> None:
        super().__init__(
            seed=seed, device=root.device, deadline=root.deadline, degrade=root.degrade, inputs=root.inputs,
            evaluate=root.evaluate, credentials=root.credentials, content=root.content, executor=root.executor,
            warnings=root.warnings, _span=span, _path=path,
        )  # fmt: skip
        self._whole = root
        self._label = label

    @property
    def _root(self) -> Context:
        return self._whole

    @property
    def cancelled(self) -> bool:
        """Whether the whole was asked to stop."""
        return self._whole.cancelled

    def stop(self) -> None:
        """Ask the whole to stop."""
        self._whole.stop()

    def out_of_time(self) -> bool:
        """Whether the time of the whole is over."""
        return self._whole.out_of_time()

    def report_progress(self, step: int, total: int, phase: str, metrics: Mapping[str, float], fraction: float) -> None:
        """Pass progress on under this part's label: phases within it are too fine for a reader."""
        self._whole.report_progress(step, total, self._label, metrics, fraction)

    def warn(self, text: str) -> None:
        """Warn of the whole."""
        self._whole.warn(text)

    def log(self, text: str) -> None:
        """Write to the job's log."""
        self._whole.log(text)


def seed_of(seed: int, name: str) -> int:
    """A seed in [0, 2^63) that a name decides: equal names give equal streams, others independent ones."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "big") >> 1


def _point(step: int, arrays: Mapping[str, Any], state: Mapping[str, Any], *, done: bool) -> Checkpoint:
    return Checkpoint(step, {name: np.array(to_numpy(value)) for name, value in arrays.items()}, dict(state), done)
