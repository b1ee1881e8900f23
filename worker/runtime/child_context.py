"""The context a method gets inside a job: progress and checkpoints go to the supervisor."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from worker.contract.context import Checkpoint, Context
from worker.contract.errors import JobError
from worker.runtime.protocol import Brief, Speaker

# Share of an attempt's progress bar that each stage gets.
STAGES = {
    "ingest": (0.0, 1.0),
    "load": (0.0, 0.03),
    "run": (0.03, 0.65),
    "evaluate": (0.65, 0.97),
    "report": (0.97, 1.0),
}


class ChildContext(Context):
    """Talks to the supervisor through `speaker`; one per attempt."""

    def __init__(self, brief: Brief, speaker: Speaker, device: str) -> None:
        super().__init__(
            seed=brief.job["seed"], device=device, degrade=brief.job["degrade"], credentials=brief.credentials
        )
        self._brief = brief
        self._speaker = speaker
        self._stage = "load"
        self._furthest = 0.0
        self._minds_the_time = False
        self._started = time.monotonic()
        self._last_checkpoint = time.monotonic()
        self._resumed = _read_checkpoint(brief)
        # Time that earlier attempts spent on what this one resumes: it counts towards cost and time limit.
        self.spent_s = float(self._resumed.state.pop("__spent_s__", 0.0)) if self._resumed else 0.0
        if brief.time_s:
            self.deadline = self._started + brief.time_s - self.spent_s

    def stage(self, name: str) -> None:
        """Enter a stage of the attempt (see `STAGES`); time limits are for the method's own stage."""
        self._stage = name
        self._span = STAGES[name]
        if name in ("evaluate", "report"):
            self.deadline = None
        self.progress(0, 1, phase=name)

    def out_of_time(self) -> bool:
        """See `Context.out_of_time`; a method that asks is trusted to return its best so far."""
        self._minds_the_time = True
        return super().out_of_time()

    def report_progress(self, step: int, total: int, phase: str, metrics: Mapping[str, float], fraction: float) -> None:
        """Tell the supervisor; the fraction never goes back within an attempt."""
        if not self._minds_the_time and super().out_of_time():
            raise JobError(
                "timeout",
                f"The job did not finish within its limit of {self._brief.time_s:g} s.",
                hint="Raise limits.time_s, or ask for less work.",
                pointer="/limits/time_s",
            )
        self._furthest = max(self._furthest, fraction)
        elapsed = time.monotonic() - self._started
        eta = elapsed / self._furthest * (1 - self._furthest) if self._furthest > 0.05 else None
        self._speaker.say(
            "progress",
            phase=phase or self._stage,
            step=step,
            total=total,
            fraction=round(self._furthest, 4),
            eta_s=None if eta is None else round(eta, 1),
            metrics={name: float(value) for name, value in metrics.items()},
        )

    def checkpoint_due(self) -> bool:
        """Every `checkpoint_every_s`, and always once a stop was asked for."""
        return self.cancelled or time.monotonic() - self._last_checkpoint >= self._brief.checkpoint_every_s

    def save_checkpoint(self, point: Checkpoint) -> None:
        """Write the resume point durably, then tell the supervisor, who moves it into the store."""
        path = Path(self._brief.folder) / f"checkpoint-{point.step}.safetensors"
        partial = path.with_suffix(".partial")
        spent = self.spent_s + time.monotonic() - self._started
        state = {**point.state, "__spent_s__": spent}
        metadata = {
            "step": str(point.step),
            "input_hash": self._brief.job["input_hash"],
            "state": json.dumps(state),
        }
        save_file({name: np.ascontiguousarray(array) for name, array in point.arrays.items()}, partial, metadata)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.rename(path)
        self._last_checkpoint = time.monotonic()
        self._speaker.say("checkpoint", step=point.step, path=str(path))

    def restore(self) -> Checkpoint | None:
        """The resume point the supervisor handed over, if it is of this very input."""
        return self._resumed

    def warn(self, text: str) -> None:
        """Add a sentence to the report's warnings and to the job's events."""
        super().warn(text)
        self._speaker.say("warning", text=text)

    def log(self, text: str) -> None:
        """Write a line to the job's log."""
        self._speaker.say("log", text=text)


def _read_checkpoint(brief: Brief) -> Checkpoint | None:
    if not brief.checkpoint:
        return None
    with safe_open(brief.checkpoint, "numpy") as file:
        metadata = file.metadata()
        if metadata["input_hash"] != brief.job["input_hash"]:
            return None  # of other work, or of another version of the method
        state: dict[str, Any] = json.loads(metadata["state"])
        return Checkpoint(int(metadata["step"]), {name: file.get_tensor(name) for name in file.keys()}, state)  # noqa: SIM118
