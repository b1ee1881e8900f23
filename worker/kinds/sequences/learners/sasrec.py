"""SASRec with a softmax over all items: the learner that sequence summaries are judged by.

The paper's loss with one sampled negative is the one change that matters: with a full softmax the same network is far
better on every dataset tried. Dropout and the number of steps are chosen on validation data, for every set anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.contract.context import Context
from worker.contract.learner import learner
from worker.kinds.sequences.fitting import Fitting, Recipe, go_on
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.networks.sasrec import SASRec

STEPS, DROPOUT, LIMIT = (20, 40, 80, 120, 160, 200, 240, 280, 320, 400), (0.0, 0.2, 0.5), 6400


WIDTH = 32


def network(data: TrainingSet, settings: Mapping[str, Any]) -> SASRec:
    """One block of one head."""
    return SASRec(data.items, data.max_len, width=WIDTH, dropout=float(settings.get("dropout", 0.0)))


RECIPE = Recipe(network)


@learner(
    kind="sequences",
    name="sasrec",
    label="SASRec",
    seeds=3,
    settings=[{"dropout": dropout, "steps": steps} for dropout in DROPOUT for steps in STEPS],
    further=go_on(LIMIT),
)
def sasrec(data: TrainingSet, params: Any, ctx: Context) -> Fitting:
    """A SASRec that predicts every event of the rows from those before it."""
    return Fitting(RECIPE, data, ctx.seed, ctx.device)
