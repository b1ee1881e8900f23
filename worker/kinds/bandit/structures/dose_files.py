"""The files of a version that logs doses, and what the API shows of it.

rounds.parquet   dose, reward, density[, user]; `dose:NAME` and `density:NAME` for every target policy
contexts.npy     (n, d) float32
log.json         sizes, names, bounds, warnings
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from worker.kinds.bandit.canonical import MANIFEST, ROUNDS, manifest
from worker.kinds.bandit.policy_files import load_array
from worker.kinds.bandit.structures.doses import DoseLog

_DOSE, _DENSITY = "dose:", "density:"


def write(data: DoseLog, folder: Path, extra: dict[str, Any]) -> None:
    """Write a log; `extra`: more for the manifest. The same log gives the same bytes."""
    columns: dict[str, NDArray[Any] | None] = {
        "dose": data.dose, "reward": data.reward, "density": data.density, "user": data.user,
        **{_DOSE + name: values for name, values in sorted(data.doses.items())},
        **{_DENSITY + name: values for name, values in sorted(data.densities.items())},
    }  # fmt: skip
    table = pa.table({name: pa.array(values) for name, values in columns.items() if values is not None})
    parquet.write_table(table, folder / ROUNDS, compression="zstd")
    np.save(folder / "contexts.npy", np.ascontiguousarray(data.x), allow_pickle=False)
    about = extra | {
        "structure": {"form": data.form},
        "rounds": data.n,
        "reward_range": data.reward_range,
        "warnings": list(data.warnings),
    }
    (folder / MANIFEST).write_text(json.dumps(about, sort_keys=True, indent=1) + "\n")


def read(folder: Path) -> DoseLog:
    """The log from its files; contexts are mapped."""
    about = manifest(folder)
    table = parquet.read_table(folder / ROUNDS)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    bounds = about["reward_range"]
    return DoseLog(
        columns["dose"],
        columns["reward"],
        columns["density"],
        load_array(folder / "contexts.npy"),
        {n.removeprefix(_DOSE): v for n, v in columns.items() if n.startswith(_DOSE)},
        {n.removeprefix(_DENSITY): v for n, v in columns.items() if n.startswith(_DENSITY)},
        columns.get("user"),
        None if bounds is None else (bounds[0], bounds[1]),
        tuple(about["warnings"]),
    )


def describe(folder: Path, rows: int = 20) -> dict[str, Any]:
    """Statistics, preview and warnings."""
    data, about = read(folder), manifest(folder)
    statistics: dict[str, Any] = {
        "structure": data.form,
        "rounds": data.n,
        "dose": _spread(data.dose),
        "density": _spread(data.density),
        "reward": _spread(data.reward) | {"declared": about["reward_range"]},
        "context_columns": data.x.shape[1],
        "targets": {"doses": sorted(data.doses), "densities": sorted(data.densities)},
    }
    if data.user is not None:
        statistics["users"] = int(data.user.max()) + 1
    names = about.get("context_features", [])
    preview = [
        {
            "dose": float(data.dose[i]),
            "reward": float(data.reward[i]),
            "density": float(data.density[i]),
            **({} if data.user is None else {"user": int(data.user[i])}),
            **{_DOSE + name: float(values[i]) for name, values in data.doses.items()},
            "context": {names[d]: round(float(data.x[i, d]), 6) for d in range(min(8, data.x.shape[1]))},
        }
        for i in range(min(rows, data.n))
    ]
    return {"statistics": statistics, "preview": preview, "warnings": list(about["warnings"])}


def _spread(values: NDArray[Any]) -> dict[str, float]:
    return {
        "min": float(values.min()),
        "median": float(np.median(values)),
        "mean": float(values.mean()),
        "max": float(values.max()),
    }
