"""Keep images by the length of the gradient that they give the last layer of small networks (GraNd).

The networks see all training images, which is training on the full data, if briefly: `networks x epochs` passes.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.images.dataset import Images
from worker.kinds.images.selection.by_score import ScoreParams, scored
from worker.kinds.images.selection.proxies import COST, grand, said_by_proxies
from worker.kinds.images.summary import ImagesSummary


class GraNdParams(ScoreParams):
    """Parameters of `grand`."""


@method(
    kind="images",
    task="select",
    name="grand",
    version=1,
    paper="arXiv:2107.07075",
    device="any",
    memory_mb=3072,
    cost=COST,
)
def grand_images(data: Images, params: GraNdParams, ctx: Context) -> ImagesSummary:
    """Real images chosen by the length of the gradient that they give the last layer of small networks."""
    return scored(data, grand(said_by_proxies(data, params, ctx), data.train.y), "grand", params, ctx)
