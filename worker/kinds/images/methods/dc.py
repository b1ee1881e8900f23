"""Learn images that give networks the gradients that real images give: dataset condensation.

Zhao et al., "Dataset Condensation with Gradient Matching", arXiv:2006.05929, algorithm 1. Second order: three training
steps an image, classes x outer x iterations times. Departs from published code in delivering the state that validates
best, and in being defined for every number of images a class, not for six of them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import Cost, method
from worker.kinds.images.dataset import Images
from worker.kinds.images.distillation.costs import MEMORY, passes
from worker.kinds.images.distillation.matched_gradients import BATCH, ITERATIONS, GradientParams, matched
from worker.kinds.images.summary import ImagesSummary


class DCParams(GradientParams):
    """Parameters of `dc`."""

    init: Literal["real", "noise", "k-means"] = Field(
        "noise", description="Where images start: noise as published, real ones, or centres of clusters."
    )


@method(
    kind="images",
    task="distil",
    name="dc",
    version=1,
    paper="arXiv:2006.05929",
    device="any",
    memory_mb=3072,
    cost=Cost(seconds=passes(ITERATIONS, BATCH, per_class=True, repeats=5, items=6), memory_mb=MEMORY),
)
def dc(data: Images, params: DCParams, ctx: Context) -> ImagesSummary:
    """Learned images that give networks the gradients of real ones."""
    return matched(data, params, "dc", "none", ctx)
