"""Learn images by differentiating through the training of a network on them: dataset distillation in its first form.

Wang et al., "Dataset Distillation", arXiv:1811.10959: the cross-entropy on real images of a network trained on the
made ones, differentiated through all its steps. Here exact in the memory of one step (`distillation.unrolling`), with
Adam within as later work has it. Long trainings make it ill-conditioned: see `ratbptt`.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import Cost, method
from worker.kinds.images.dataset import Images
from worker.kinds.images.distillation.costs import MEMORY, passes
from worker.kinds.images.distillation.trained_through import BATCH, ITERATIONS, UnrollParams, trained_through
from worker.kinds.images.summary import ImagesSummary


class BPTTParams(UnrollParams):
    """Parameters of `bptt`."""


@method(
    kind="images",
    task="distil",
    name="bptt",
    version=1,
    paper="arXiv:1811.10959",
    device="any",
    memory_mb=3072,
    cost=Cost(seconds=passes(ITERATIONS, BATCH, repeats=2, items=100), memory_mb=MEMORY),
)
def bptt(data: Images, params: BPTTParams, ctx: Context) -> ImagesSummary:
    """Learned images that train a network well, by differentiating through that training."""
    return trained_through(data, params, "bptt", None, ctx)
