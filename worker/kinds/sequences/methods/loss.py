"""Sequences by how well a model trained on all of them predicts them: selection by proxy.

Selection via proxy (arXiv:1906.11829) ranks examples by the loss of a small model; here a SASRec trained for a given
number of steps, and the mean loss of a sequence's events. Which end to keep is a choice: with few sequences typical
ones (`lowest`) serve learners better, the hardest are mostly noise.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.picks import able_first
from worker.kinds.sequences.rows import Rows
from worker.kinds.sequences.selection import SelectParams, selected
from worker.kinds.sequences.summary import SequenceSummary


class LossParams(SelectParams):
    """Parameters of `loss`."""

    keep: Literal["lowest", "highest"] = Field(
        "lowest", description="Whether sequences that the proxy predicts best are kept, or worst."
    )
    steps: int = Field(120, ge=1, le=10_000, description="Training steps of the proxy, a small SASRec.")


@method(
    kind="sequences",
    task="select",
    name="loss",
    version=1,
    device="any",
    memory_mb=2048,
    cost=Cost(
        seconds=(Term(1.0), Term(3e-4, {"params.steps": 1, "items": 0.5}), Term(2e-5, {"events": 1})),
        memory_mb=(Term(500.0), Term(5e-3, {"items": 1}), Term(2e-4, {"events": 1})),
    ),
)
def loss(data: Sequences, params: LossParams, ctx: Context) -> SequenceSummary:
    """Sequences that a model trained on all predicts best, or worst: selection by proxy."""
    from worker.kinds.sequences.fitting import Fitting  # torch, which listing methods does not need
    from worker.kinds.sequences.forms import TrainingSet
    from worker.kinds.sequences.learners import sasrec

    def by_loss(rows: Rows, items: int, most: int, seed: int, ctx: Context) -> np.ndarray:
        train = TrainingSet.of(rows, items, data.max_len, weight=data.training().weights)
        model = Fitting(sasrec.RECIPE, train, seed, ctx.device).fit({"dropout": 0.2, "steps": params.steps}, ctx)
        each = np.concatenate(
            [_reported(model.surprise(rows.take(part)), ctx) for part in np.array_split(np.arange(len(rows)), 20)]
        ) / np.maximum(rows.lengths - 1, 1)
        return able_first(rows, np.argsort(each if params.keep == "lowest" else -each, kind="stable"))

    return selected(data, params, "loss", by_loss, ctx)


def _reported(values: np.ndarray, ctx: Context) -> np.ndarray:
    ctx.progress(1, 1, phase="losses")
    return values
