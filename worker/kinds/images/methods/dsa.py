"""Learn images that give networks the gradients of real images also when both are augmented alike.

Zhao and Bilen, "Dataset Condensation with Differentiable Siamese Augmentation", arXiv:2102.08259: gradient matching
(see `dc`) with one random augmentation on both sides. Networks should then be trained with augmentation, too.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import Cost, method
from worker.kinds.images.dataset import Images
from worker.kinds.images.distillation.costs import MEMORY, passes
from worker.kinds.images.distillation.matched_gradients import BATCH, ITERATIONS, GradientParams, matched
from worker.kinds.images.distillation.params import DSA_FIELD
from worker.kinds.images.summary import ImagesSummary


class DSAParams(GradientParams):
    """Parameters of `dsa`."""

    dsa: str = DSA_FIELD


@method(
    kind="images",
    task="distil",
    name="dsa",
    version=1,
    paper="arXiv:2102.08259",
    device="any",
    memory_mb=3072,
    cost=Cost(seconds=passes(ITERATIONS, BATCH, per_class=True, repeats=5, items=6), memory_mb=MEMORY),
)
def dsa(data: Images, params: DSAParams, ctx: Context) -> ImagesSummary:
    """Learned images that give networks the gradients of real ones, both augmented alike."""
    return matched(data, params, "dsa", params.dsa, ctx)
