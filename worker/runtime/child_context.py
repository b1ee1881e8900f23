"""The context a method gets inside a job: progress, resume points and durable files go to the supervisor."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from worker.contract.context import Checkpoint, Context, Figures
from worker.contract.errors import JobError, TimeOver
from worker.contract.executor import Executor
from worker.contract.keep import Keep
from worker.executor.choice import open_executor
from worker.runtime.protocol import Assignment, Speaker
from worker.runtime.stored_points import read_figures, read_points, write_figures, write_points

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

    def __init__(self, assignment: Assignment, speaker: Speaker, device: str) -> None:
        job = assignment.job
        super().__init__(
            seed=job["seed"], device=device, degrade=job["degrade"], credentials=dict(assignment.credentials),
            content=job.get("dataset_content") or "", executor=_executor(assignment),
        )  # fmt: skip
        self._assignment = assignment
        self._speaker = speaker
        self._stage = "load"
        self._furthest = 0.0
        self._minds_the_time = False
        self._started = self._entered = self._last_checkpoint = time.monotonic()
        self._saved = 0
        # Seconds spent in each stage, by the earlier attempts that this one resumes, too.
        self._spent: dict[str, float] = {}
        self._resume()
        self._earlier: dict[str, Figures] | None = None
        self.cut: dict[str, float] = {}  # the limits that ended work early, in seconds

    @property
    def spent_s(self) -> float:
        """Seconds that earlier attempts spent on making what this one goes on with."""
        return self._spent.get("run", 0.0)

    def stage(self, name: str) -> None:
        """Enter a stage of the attempt (see `STAGES`). Making and judging have time limits of their own.

        The processes of the executor go with the stage that wanted them: their memory is that of the job.
        """
        self.executor.close()
        now = time.monotonic()
        self._spent[self._stage] = self._spent.get(self._stage, 0.0) + now - self._entered
        self._stage, self._span, self._entered = name, STAGES[name], now
        limits = {
            "load": self._assignment.time_s,
            "run": self._assignment.time_s,
            "evaluate": self._assignment.evaluate_s,
        }
        limit = limits.get(name, 0.0)
        self.deadline = None
        self.progress(0, 1, phase=name)
        # From here on, so that whoever minds the time has the chance to say so.
        self.deadline = now + limit - self._spent.get(name, 0.0) if limit else None

    def out_of_time(self) -> bool:
        """See `Context.out_of_time`; a method that asks is trusted to return its best so far."""
        self._minds_the_time = True
        over = super().out_of_time()
        if over:
            self._note_cut()
        return over

    def _note_cut(self) -> None:
        name = "evaluate_s" if self._stage == "evaluate" else "time_s"
        self.cut[name] = getattr(self._assignment, name)

    def report_progress(self, step: int, total: int, phase: str, metrics: Mapping[str, float], fraction: float) -> None:
        """Tell the supervisor; the fraction never goes back within an attempt."""
        if super().out_of_time():
            self._end_for_time()
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

    def _end_for_time(self) -> None:
        if self._stage == "evaluate":
            self._note_cut()
            raise TimeOver  # what was made is never lost to its judging
        if not self._minds_the_time:
            raise JobError(
                "timeout",
                f"The job did not finish within its limit of {self._assignment.time_s:g} s.",
                hint="Raise limits.time_s, or ask for less work.",
                pointer="/limits/time_s",
            )

    def checkpoint_due(self) -> bool:
        """Every `checkpoint_every_s`, and always once a stop was asked for."""
        return self.cancelled or time.monotonic() - self._last_checkpoint >= self._assignment.checkpoint_every_s

    def save_checkpoint(self, points: Mapping[str, Checkpoint]) -> None:
        """Write the resume points durably, then tell the supervisor, who moves them into the store."""
        own = points.get("")
        self._saved = max(self._saved + 1, own.step if own is not None else 0)
        path = Path(self._assignment.folder) / f"checkpoint-{self._saved}.safetensors"
        partial = path.with_suffix(".partial")
        spent = {**self._spent, self._stage: self._spent.get(self._stage, 0.0) + time.monotonic() - self._entered}
        write_points(
            partial,
            points,
            {
                "input_hash": self._assignment.job["input_hash"],
                "spent": spent,
                "saved": self._saved,
                "warnings": self.warnings,
            },
        )
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.rename(path)
        self._last_checkpoint = time.monotonic()
        self._speaker.say("checkpoint", step=self._saved, path=str(path))

    def save_now(self) -> None:
        """Write the resume points that are held, due or not."""
        self.save_checkpoint(self._points)

    def _resume(self) -> None:
        if not self._assignment.checkpoint:
            return
        points, about = read_points(Path(self._assignment.checkpoint))
        if about["input_hash"] == self._assignment.job["input_hash"]:  # else of other work, or another method version
            self._points, self._spent, self._saved = points, about["spent"], about["saved"]
            self.warnings.extend(about["warnings"])  # of parts that are finished, too, which will not say them again

    def open_keep(self, path: str) -> Keep:
        """Files of earlier attempts and of this one; the supervisor moves each new one into the store."""
        return Keep(self._assignment.keep / path, lambda file: self._speaker.say("keep", path=str(file)))

    def earlier_figures(self) -> Mapping[str, Figures]:
        """Figures of earlier jobs on this content; their files are read when the first is asked for."""
        if self._earlier is None:
            self._earlier = {}
            for path in sorted(self._assignment.figures.glob("*.safetensors")):
                self._earlier |= read_figures(path, job=path.stem)
        return self._earlier

    def write_remembered(self, folder: Path) -> None:
        """Leave what was remembered for the supervisor to store, if there is anything."""
        if self._figures:
            folder.mkdir(parents=True, exist_ok=True)
            write_figures(folder / "figures.safetensors", self._figures)

    def warn(self, text: str) -> None:
        """Add a sentence to the report's warnings and to the job's events."""
        super().warn(text)
        self._speaker.say("warning", text=text)

    def log(self, text: str) -> None:
        """Write a line to the job's log."""
        self._speaker.say("log", text=text)


def _executor(assignment: Assignment) -> Executor:
    return open_executor(
        assignment.executor,
        assignment.executor_processes,
        address=assignment.ray_address,
        threads=assignment.threads,
    )
