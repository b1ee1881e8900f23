"""Which sampler will keep the ranking of recommenders on this dataset, and how little data will do? (arXiv:2201.04768)

Data-Genie asks a small model instead of training recommenders: it has seen how well samples of other datasets ranked a
zoo, and predicts that from the shape of this dataset and of its samples. Samples are drawn to look at them; nothing is
trained but SVP-CF's proxies. How the model is made and how good it was on datasets it had not seen stands in
`docs/samplers.md`; `rank-preservation` measures what is predicted here.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import method
from worker.evidence.findings import Findings
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.genie import advice
from worker.kinds.interactions.genie.features import features
from worker.kinds.interactions.genie.model import METRICS, shipped
from worker.kinds.interactions.sampling.order import TrainEvents
from worker.kinds.interactions.sampling.samplers import SAMPLERS, available, orders
from worker.kinds.interactions.splits import TEST, VALIDATION

SIZES = [80.0, 60.0, 40.0, 20.0, 10.0, 1.0]
LEAST_EVENTS = 50
Percent = Annotated[float, Field(ge=0.1, le=99.9)]
SamplerName = Literal[tuple(SAMPLERS)]
MetricName = Literal[METRICS]


class DataGenieParams(BaseModel):
    """Parameters of `data-genie`."""

    model_config = ConfigDict(extra="forbid")

    sizes: list[Percent] = Field(
        SIZES, min_length=1, max_length=12, description="Percent of the training events that samples would have."
    )
    metric: MetricName = Field("ndcg@10", description="Metric by which recommenders are to be ranked.")
    mode: Literal["regression", "bpr"] = Field(
        "bpr", description="Rank samplers by a model of which of two is better (bpr), or by the predicted tau."
    )
    samplers: list[SamplerName] = Field(
        [], max_length=len(SAMPLERS), description="Samplers to choose from; empty: all that the data allows."
    )
    epochs: int = Field(advice.EPOCHS, ge=1, le=500, description="Passes of SVP-CF's proxies over the events.")


@method(kind="interactions", task="advise", name="data-genie", version=1, paper="arXiv:2201.04768", memory_mb=2048)
def data_genie(data: Interactions, params: DataGenieParams, ctx: Context) -> Findings:
    """Which sampler is likely to keep the ranking of recommenders, at every size."""
    events = TrainEvents.of(data)
    if len(events) < LEAST_EVENTS:
        raise JobError(
            "too_few_rows",
            f"{len(events)} training events are too few to advise on; {LEAST_EVENTS} are needed.",
            hint="Use all of them: a sample of so few saves nothing.",
        )
    ctx.progress(0, 1, phase="look")
    held = {"validation": int((data.events.split == VALIDATION).sum()), "test": int((data.events.split == TEST).sum())}
    names = list(dict.fromkeys(params.samplers)) or available(events)
    sizes = sorted(set(params.sizes), reverse=True)
    whole = features(events, **held)
    looked: list[advice.Candidate] = []
    with ctx.part("samples", 0, 1, label="draw samples") as part:
        most = round(len(events) * sizes[0] / 100)
        for number, (name, order) in enumerate(orders(events, names, part, most=most, epochs=params.epochs)):
            for percent in sizes:
                part.progress(number, len(names), phase="look")
                kept = order.events(max(1, round(len(events) * percent / 100)))
                looked.append(
                    advice.Candidate(name, percent, int(np.count_nonzero(kept)), features(events, kept, **held))
                )
    return advice.findings(
        shipped(),
        whole,
        looked,
        params.metric,
        params.mode,
        events=len(events),
        epochs=params.epochs,
        warnings=tuple(ctx.warnings),
    )
