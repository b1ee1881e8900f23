"""A log of doses from a table: a number that was done, the density it was drawn from, what targets would have done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.ingest.limits import Meter
from worker.ingest.table import Table, read_columns
from worker.kinds.bandit.structures.doses import DoseLog
from worker.kinds.bandit.upload import features
from worker.kinds.bandit.upload.log_table import described_columns
from worker.kinds.bandit.upload.options import IngestOptions
from worker.kinds.bandit.upload.structured import DENSITY, DOSE

_LARGEST = 3.4e38


def read_doses(
    tables: Sequence[Table], options: IngestOptions, meter: Meter, ctx: Context
) -> tuple[DoseLog, dict[str, Any]]:
    """All rounds in the order of the upload, checked, and what the manifest says beside them."""
    columns = read_columns(tables, meter)
    described, missing = features.fill_missing(described_columns(columns, tables[0]), "the log")
    if missing:
        ctx.warn(f"{missing:,} missing numbers of the contexts were replaced by their column's mean.")
    x, names = features.encode(
        described, columns.n, options.max_categories, options.hash_columns, "/options/max_categories"
    )
    for role in ("dose", "reward"):
        _finite(columns.numbers[role], role, f"/columns/{role}")
    density = columns.numbers["density"]
    wrong = ~np.isfinite(density) | (density <= 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise JobError(
            "propensity_nonpositive",
            f"The density in row {row + 1:,} is {density[row]:g} ({int(wrong.sum()):,} such rows).",
            hint="What was done had a density above 0 under the policy that did it; it may be above 1.",
            pointer="/columns/density",
        )
    targets: dict[str, dict[str, NDArray[np.float64]]] = {DOSE: {}, DENSITY: {}}
    for name, values in columns.numbers.items():
        sort = next((sort for sort in targets if name.startswith(sort)), None)
        if sort is None:
            continue
        _finite(values, name, "/files")
        if sort == DENSITY and values.min() < 0:
            raise JobError(
                "invalid_input",
                f"The column {name} holds densities below 0.",
                hint="A density is 0 or above.",
                pointer="/files",
            )
        targets[sort][name.removeprefix(sort)] = values
    if both := targets[DOSE].keys() & targets[DENSITY].keys():
        raise JobError(
            "invalid_input",
            f"The target policy {min(both)} has both a dose and a density.",
            hint="A policy either does one dose (target_dose_NAME) or draws it (target_density_NAME): rename one.",
            pointer="/files",
        )
    user = columns.words["user"].codes if "user" in columns.words else None
    reward = -columns.numbers["reward"] if options.reward_is_cost else columns.numbers["reward"]
    bounds = None if options.r_min is None or options.r_max is None else (options.r_min, options.r_max)
    log = DoseLog(columns.numbers["dose"], reward, density, x, targets[DOSE], targets[DENSITY], user, bounds)
    return log, {"context_features": names}


def _finite(values: NDArray[np.float64], what: str, pointer: str) -> None:
    wrong = ~np.isfinite(values) | (np.abs(values) > _LARGEST)
    if wrong.any():
        raise JobError(
            "nan_reward" if what == "reward" else "invalid_input",
            f"The column {what} is missing, NaN or infinite in row {int(np.argmax(wrong)) + 1:,} "
            f"({int(wrong.sum()):,} such rows).",
            hint="Write a number in every row, or remove these rounds.",
            pointer=pointer,
        )
