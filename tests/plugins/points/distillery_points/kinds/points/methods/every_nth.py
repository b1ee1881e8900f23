"""Keep every n-th point: a pick that costs nothing and follows the order of the table. O(n) time."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from worker.contract.budget import Budget, resolve
from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.kinds.points.dataset import TRAIN, Points
from worker.kinds.points.summary import PointsSummary


class EveryNthParams(BaseModel):
    """Parameters of `every-nth`."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget = "10%"
    start: int = Field(0, ge=0, description="Number of the training point to begin with; it wraps around.")


@method(
    kind="points",
    task="select",
    name="every-nth",
    version=1,
    memory_mb=256,
    cost=Cost(seconds=(Term(0.1), Term(1e-6, {"points": 1}))),
)
def every_nth(data: Points, params: EveryNthParams, ctx: Context) -> PointsSummary:
    """Every n-th training point, in the order of the table."""
    train = data.part(TRAIN).for_training()
    count = resolve(params.budget, total_units=len(train), bytes_per_unit=len(train.packed()) / len(train))
    ctx.progress(0, 1, phase="select")
    rows = (params.start + np.arange(count) * len(train) // count) % len(train)
    return PointsSummary(train.take(rows), Origin("every-nth", settings={"budget": params.budget, "points": count}))
