"""Keep images by how often small networks forget them in training, those never learned first.

The networks see all training images, which is training on the full data, if briefly: `networks x epochs` passes.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.images.dataset import Images
from worker.kinds.images.selection.by_score import ScoreParams, scored
from worker.kinds.images.selection.proxies import COST, forgetting, said_by_proxies
from worker.kinds.images.summary import ImagesSummary


class ForgettingParams(ScoreParams):
    """Parameters of `forgetting`."""


@method(
    kind="images",
    task="select",
    name="forgetting",
    version=1,
    paper="arXiv:1812.05159",
    device="any",
    memory_mb=3072,
    cost=COST,
)
def forgetting_images(data: Images, params: ForgettingParams, ctx: Context) -> ImagesSummary:
    """Real images chosen by how often small networks forget them."""
    return scored(data, forgetting(said_by_proxies(data, params, ctx)), "forgetting", params, ctx)
