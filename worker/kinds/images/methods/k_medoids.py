"""Keep the image nearest the centre of every cluster of k-means, within each class."""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.images.dataset import Images
from worker.kinds.images.selection.delivery import pick_by
from worker.kinds.images.selection.features import COST, SpaceParams, features_of
from worker.kinds.images.selection.pickers import medoids
from worker.kinds.images.summary import ImagesSummary


class KMedoidsParams(SpaceParams):
    """Parameters of `k-medoids`."""


@method(
    kind="images",
    task="select",
    name="k-medoids",
    version=1,
    paper="MacQueen, 1967",
    device="any",
    memory_mb=3072,
    cost=COST,
)
def k_medoids(data: Images, params: KMedoidsParams, ctx: Context) -> ImagesSummary:
    """The real images nearest the centres of clusters of their class."""
    return pick_by(data, params, medoids, "k-medoids", ctx, features_of(data, params.features, ctx))
