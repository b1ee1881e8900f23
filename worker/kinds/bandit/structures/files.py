"""What a version with a structure has beside the files of any log: `structure.parquet`, a row a round.

    slates        slate (int32); `chance:NAME` (float64) for every target policy given as a column

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

FILE = "structure.parquet"
_CHANCE = "chance:"


def write(data: SlateLog, folder: Path, extra: dict[str, Any]) -> None:
    """Write all files of a version; `extra`: more for the manifest."""
    structure: dict[str, Any] = {"form": data.form, "users": data.users, "propensity_of": data.propensity_of}
    columns: dict[str, NDArray[Any]] = {"slate": data.slate}
    columns |= {_CHANCE + name: values for name, values in sorted(data.chances.items())}
    canonical.write(data.log, folder, extra | {"structure": structure})
    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    parquet.write_table(table, folder / FILE, compression="zstd")


def read_slates(folder: Path) -> SlateLog:
    """A log of slates."""
    about, columns = canonical.manifest(folder)["structure"], _columns(folder)
    return SlateLog(canonical.load(folder), columns["slate"], about["propensity_of"], _chances(columns), about["users"])


def describe(folder: Path, found: dict[str, Any]) -> dict[str, Any]:
    """What an ordinary log's description adds for its structure."""
    about = canonical.manifest(folder)["structure"]
    columns = _columns(folder)
    unit = SlateLog.unit
    length = np.bincount(columns[unit])
    statistics = found["statistics"] | {
        "structure": about["form"],
        about["form"]: len(length),
        "steps": {"least": int(length.min()), "mean": float(length.mean()), "most": int(length.max())},
        "propensity_of": about["propensity_of"],
        "target_columns": sorted(_chances(columns)),
    }
    if not about["users"]:
        statistics.pop("users", None)
    shown = [
        {unit: int(columns[unit][i])} | {k: v for k, v in line.items() if about["users"] or k != "user"}
        for i, line in enumerate(found["preview"])
    ]
    return found | {"statistics": statistics, "preview": shown}


def _columns(folder: Path) -> dict[str, NDArray[Any]]:
    table = parquet.read_table(folder / FILE)
    return {name: table[name].to_numpy() for name in table.column_names}


def _chances(columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(_CHANCE): values for name, values in columns.items() if name.startswith(_CHANCE)}
