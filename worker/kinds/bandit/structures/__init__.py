"""Logs whose rows belong together: positions of a slate, steps of a trajectory; and logs of doses, not of choices.

The rounds of a version with such a structure are stored as those of any log; what joins them lies beside, in
`structure.parquet`, and the manifest names it. So the files of ordinary logs know nothing of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from worker.contract.errors import JobError
from worker.kinds.bandit import canonical
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.structures import files
from worker.kinds.bandit.structures.slates import SlateLog

Log = BanditLog | SlateLog


def load(folder: Path) -> Log:
    """The log of a version, in the form that its manifest names."""
    form = canonical.manifest(folder).get("structure", {}).get("form")
    return files.read_slates(folder) if form == SlateLog.form else canonical.load(folder)


def describe(folder: Path) -> dict[str, Any]:
    """Statistics, preview and warnings of canonical files."""
    found = canonical.describe(folder)
    if "structure" in canonical.manifest(folder):
        return files.describe(folder, found)
    return found


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
