"""Which samples of this dataset rank recommenders as all of it does? (arXiv:2201.04768)

A zoo of learners is tuned, trained and tested on the full data and on samples of many samplers and sizes; a sample's
score is Kendall's tau-b between the two rankings. Costs one training of the zoo a sample: with all 18 samplers and six
sizes 109 of them, where `data-genie` asks a model that has seen such comparisons on other datasets.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.contract.context import Context
from worker.contract.method import method
from worker.evidence.findings import Findings
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.sampling.order import TrainEvents
from worker.kinds.interactions.sampling.samplers import SAMPLERS, available

SIZES = [80.0, 60.0, 40.0, 20.0, 10.0, 1.0]
Percent = Annotated[float, Field(ge=0.1, le=99.9)]
SamplerName = Literal[tuple(SAMPLERS)]


class RankPreservationParams(BaseModel):
    """Parameters of `rank-preservation`. The zoo is `evaluate.learners`, by default every learner there is."""

    model_config = ConfigDict(extra="forbid")

    samplers: list[SamplerName] = Field(
        [], max_length=len(SAMPLERS), description="Samplers to compare; empty: all that the data allows."
    )
    sizes: list[Percent] = Field(
        SIZES, min_length=1, max_length=12, description="Percent of the training events that samples have."
    )
    draws: int = Field(1, ge=1, le=20, description="How often each sampler is drawn, by different seeds.")
    grid: int = Field(
        3, ge=0, le=50, description="Settings of each learner that are tried, spread over its own; 0 tries all."
    )
    epochs: int = Field(50, ge=1, le=500, description="Passes of SVP-CF's proxies over the events.")


@method(kind="interactions", task="evaluate", name="rank-preservation", version=1, paper="arXiv:2201.04768",
        memory_mb=3072)  # fmt: skip
def rank_preservation(data: Interactions, params: RankPreservationParams, ctx: Context) -> Findings:
    """How well samples of each sampler and size keep the ranking of recommenders."""
    from worker.kinds.interactions import preservation_report  # learners need torch, which loading data does not
    from worker.kinds.interactions.preservation import compare, zoo_of

    samplers = list(dict.fromkeys(params.samplers)) or available(TrainEvents.of(data))
    sizes = sorted(set(params.sizes), reverse=True)
    evaluate = zoo_of(ctx.evaluate, data)
    found = compare(data, samplers, sizes, evaluate, ctx, draws=params.draws, epochs=params.epochs, grid=params.grid)
    return preservation_report.findings(
        found, evaluate.metric, params.grid, tuple(ctx.warnings), resamples=evaluate.bootstrap, seed=ctx.seed
    )
