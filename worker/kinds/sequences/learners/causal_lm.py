"""A small causal language model: 2 blocks of width 128, tied vectors, AdamW."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.contract.context import Context
from worker.contract.learner import learner
from worker.kinds.sequences.fitting import Fitting, Recipe, go_on
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.networks.causal_lm import CausalLM

STEPS, LIMIT = (25, 50, 100, 200, 300, 400), 12_800


def network(data: TrainingSet, settings: Mapping[str, Any]) -> CausalLM:
    """Two blocks of four heads."""
    return CausalLM(data.items, data.max_len, dropout=float(settings.get("dropout", 0.2)))


RECIPE = Recipe(network, rate=2e-3, batch=32, decay=0.01, clip=1.0)


@learner(
    kind="sequences",
    name="causal-lm",
    label="causal LM",
    seeds=3,
    settings=[{"dropout": 0.2, "steps": steps} for steps in STEPS],
    further=go_on(LIMIT),
)
def causal_lm(data: TrainingSet, params: Any, ctx: Context) -> Fitting:
    """A transformer that predicts every token of the windows from those before it."""
    return Fitting(RECIPE, data, ctx.seed, ctx.device)
