"""Logs whose rows belong together: positions of a slate, steps of a trajectory; and logs of doses, not of choices.

The rounds of slates and trajectories are stored as those of any log; what joins them lies beside, in
`structure.parquet`. Doses have files of their own. The manifest names the form, that of an ordinary log names none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from worker.contract.errors import JobError
from worker.kinds.bandit import canonical
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.structures import dose_files, files
from worker.kinds.bandit.structures.doses import DoseLog
from worker.kinds.bandit.structures.slates import SlateLog
from worker.kinds.bandit.structures.trajectories import TrajectoryLog

Log = BanditLog | SlateLog | TrajectoryLog | DoseLog


def load(folder: Path) -> Log:
    """The log of a version, in the form that its manifest names."""
    match form_of(folder):
        case DoseLog.form:
            return dose_files.read(folder)
        case SlateLog.form | TrajectoryLog.form:
            return files.read(folder)
        case _:
            return canonical.load(folder)


def describe(folder: Path) -> dict[str, Any]:
    """Statistics, preview and warnings of canonical files."""
    form = form_of(folder)
    if form == DoseLog.form:
        return dose_files.describe(folder)
    found = canonical.describe(folder)
    return found if form is None else files.describe(folder, found)


def form_of(folder: Path) -> str | None:
    """Which structure a version has; None for decisions one by one."""
    return canonical.manifest(folder).get("structure", {}).get("form")


def decisions(data: Log) -> BanditLog:
    """The log of a method that takes every row as a decision of its own; refuses others, where that would be wrong."""
    if isinstance(data, BanditLog):
        return data
    raise JobError(
        "unsupported",
        f"This method takes every row as a decision of its own, and the log holds {data.units}.",
        hint=f"Estimate it with `{data.method}`; or upload it with the option structure=rounds if rows are alone.",
        pointer="/method",
    )
