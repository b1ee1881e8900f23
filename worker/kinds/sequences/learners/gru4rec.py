"""GRU4Rec with a softmax over all items: a learner of another family, to see whether a summary serves it, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.contract.context import Context
from worker.contract.learner import learner
from worker.kinds.sequences.fitting import Fitting, Recipe, go_on
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.networks.gru import GRU4Rec

STEPS, DROPOUT, LIMIT = (20, 40, 80, 120, 160, 200, 240, 280, 320, 400), (0.2, 0.5), 6400


def network(data: TrainingSet, settings: Mapping[str, Any]) -> GRU4Rec:
    """Width 64, one layer of 64."""
    return GRU4Rec(data.items, dropout=float(settings.get("dropout", 0.0)))


RECIPE = Recipe(network)


@learner(
    kind="sequences",
    name="gru4rec",
    label="GRU4Rec",
    seeds=3,
    settings=[{"dropout": dropout, "steps": steps} for dropout in DROPOUT for steps in STEPS],
    further=go_on(LIMIT),
)
def gru4rec(data: TrainingSet, params: Any, ctx: Context) -> Fitting:
    """A GRU that predicts every event of the rows from those before it."""
    return Fitting(RECIPE, data, ctx.seed, ctx.device)
