"""What a version with a structure has beside the files of any log: `structure.parquet`, a row a round.

    slates          slate (int32)
    trajectories    trajectory, step (int32)
    both            `chance:NAME` (float64) for every target policy given as a column

The manifest names the form and its settings under `structure`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from worker.kinds.bandit import canonical
from worker.kinds.bandit.structures.slates import SlateLog
from worker.kinds.bandit.structures.trajectories import TrajectoryLog

FILE = "structure.parquet"
_CHANCE = "chance:"


def write(data: SlateLog | TrajectoryLog, folder: Path, extra: dict[str, Any]) -> None:
    """Write all files of a version; `extra`: more for the manifest."""
    structure: dict[str, Any] = {"form": data.form, "users": data.users}
    if isinstance(data, SlateLog):
        structure["propensity_of"] = data.propensity_of
        columns: dict[str, NDArray[Any]] = {"slate": data.slate}
    else:
        columns = {"trajectory": data.trajectory, "step": data.step}
    columns |= {_CHANCE + name: values for name, values in sorted(data.chances.items())}
    canonical.write(data.log, folder, extra | {"structure": structure})
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    parquet.write_table(table, folder / FILE, compression="zstd")


def read(folder: Path) -> SlateLog | TrajectoryLog:
    """A log of slates or of trajectories."""
    about, columns = canonical.manifest(folder)["structure"], _columns(folder)
    log, chances = canonical.load(folder), _chances(columns)
    if about["form"] == SlateLog.form:
        return SlateLog(log, columns["slate"], about["propensity_of"], chances, about["users"])
    return TrajectoryLog(log, columns["trajectory"], columns["step"], chances, about["users"])


def describe(folder: Path, found: dict[str, Any]) -> dict[str, Any]:
    """What an ordinary log's description adds for its structure."""
    about = canonical.manifest(folder)["structure"]
    columns = _columns(folder)
    unit = SlateLog.unit if about["form"] == SlateLog.form else TrajectoryLog.unit
    length = np.bincount(columns[unit])
    statistics = found["statistics"] | {
        "structure": about["form"],
        about["form"]: len(length),
        "steps": {"least": int(length.min()), "mean": float(length.mean()), "most": int(length.max())},
        "target_columns": sorted(_chances(columns)),
    }
    if "propensity_of" in about:
        statistics["propensity_of"] = about["propensity_of"]
    if not about["users"]:
        statistics.pop("users", None)
    place = [name for name in (unit, "step") if name in columns]
    shown = [
        {name: int(columns[name][i]) for name in place}
        | {k: v for k, v in line.items() if about["users"] or k != "user"}
        for i, line in enumerate(found["preview"])
    ]
    return found | {"statistics": statistics, "preview": shown}


def _columns(folder: Path) -> dict[str, NDArray[Any]]:
    table = parquet.read_table(folder / FILE)
    return {name: table[name].to_numpy() for name in table.column_names}


def _chances(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(_CHANCE): values for name, values in columns.items() if name.startswith(_CHANCE)}
