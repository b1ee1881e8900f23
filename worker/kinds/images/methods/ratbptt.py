"""Learn images by differentiating through a random window of a network's training on them (RaT-BPTT).

Feng et al., "Embarrassingly Simple Dataset Distillation", arXiv:2310.07506: trainings end at a random step, and only
the last window of steps is differentiated, which keeps gradients short and yet meets all ages of a network.
"""

from __future__ import annotations

from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import Cost, method
from worker.kinds.images.dataset import Images
from worker.kinds.images.distillation.costs import MEMORY, passes
from worker.kinds.images.distillation.trained_through import BATCH, ITERATIONS, UnrollParams, trained_through
from worker.kinds.images.summary import ImagesSummary

_WINDOW = {"quick": 8, "standard": 30, "paper": 60}


class RaTBPTTParams(UnrollParams):
    """Parameters of `ratbptt`."""

    window: int | None = Field(None, ge=1, le=1000, description="Differentiated steps at the end; null: by the preset.")


@method(
    kind="images",
    task="distil",
    name="ratbptt",
    version=1,
    paper="arXiv:2310.07506",
    device="any",
    memory_mb=3072,
    cost=Cost(seconds=passes(ITERATIONS, BATCH, repeats=2, items=120), memory_mb=MEMORY),
)
def ratbptt(data: Images, params: RaTBPTTParams, ctx: Context) -> ImagesSummary:
    """Learned images that train a network well, by differentiating through a random window of that training."""
    return trained_through(data, params, "ratbptt", params.window or _WINDOW[params.preset], ctx)
