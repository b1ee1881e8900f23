"""Keep images by how wrong small networks are on them after a little training (EL2N).

The networks see all training images, which is training on the full data, if briefly: `networks x epochs` passes.
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.images.dataset import Images
from worker.kinds.images.selection.by_score import ScoreParams, scored
from worker.kinds.images.selection.proxies import COST, el2n, said_by_proxies
from worker.kinds.images.summary import ImagesSummary


class EL2NParams(ScoreParams):
    """Parameters of `el2n`."""


@method(
    kind="images",
    task="select",
    name="el2n",
    version=1,
    paper="arXiv:2107.07075",
    device="any",
    memory_mb=3072,
    cost=COST,
)
def el2n_images(data: Images, params: EL2NParams, ctx: Context) -> ImagesSummary:
    """Real images chosen by the length of the error that small networks make on them, trained briefly."""
    return scored(data, el2n(said_by_proxies(data, params, ctx), data.train.y), "el2n", params, ctx)
