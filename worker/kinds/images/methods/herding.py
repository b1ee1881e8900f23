"""Keep images one by one so that their mean stays nearest the mean of their class. O(images x values x budget)."""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.images.dataset import Images
from worker.kinds.images.selection.delivery import pick_by
from worker.kinds.images.selection.features import COST, SpaceParams, features_of
from worker.kinds.images.selection.pickers import herding
from worker.kinds.images.summary import ImagesSummary


class HerdingParams(SpaceParams):
    """Parameters of `herding`."""


@method(
    kind="images",
    task="select",
    name="herding",
    version=1,
    paper="Welling, 2009; arXiv:1611.07725",
    device="any",
    memory_mb=3072,
    cost=COST,
)
def herding_images(data: Images, params: HerdingParams, ctx: Context) -> ImagesSummary:
    """Real images whose running mean stays nearest the mean of their class."""
    return pick_by(data, params, herding, "herding", ctx, features_of(data, params.features, ctx))
