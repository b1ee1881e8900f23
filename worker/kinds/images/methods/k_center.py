"""Keep images so that none is far from one that is kept: greedy k-center. O(images x values x budget)."""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.images.dataset import Images
from worker.kinds.images.selection.delivery import pick_by
from worker.kinds.images.selection.features import COST, SpaceParams, features_of
from worker.kinds.images.selection.pickers import k_center
from worker.kinds.images.summary import ImagesSummary


class KCenterParams(SpaceParams):
    """Parameters of `k-center`."""


@method(
    kind="images",
    task="select",
    name="k-center",
    version=1,
    paper="Gonzalez, 1985; arXiv:1708.00489",
    device="any",
    memory_mb=3072,
    cost=COST,
)
def k_center_images(data: Images, params: KCenterParams, ctx: Context) -> ImagesSummary:
    """Real images such that no image of their class is far from all of them."""
    return pick_by(data, params, k_center, "k-center", ctx, features_of(data, params.features, ctx))
