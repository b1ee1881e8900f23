"""Keep images drawn at random within each class: the baseline every summary must beat."""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.kinds.images.budget import SizeParams
from worker.kinds.images.dataset import Images
from worker.kinds.images.selection.delivery import pick_by
from worker.kinds.images.selection.pickers import at_random
from worker.kinds.images.summary import ImagesSummary


class RandomParams(SizeParams):
    """Parameters of `random`."""


@method(
    kind="images", task="select", name="random", version=1, cost=Cost(seconds=(Term(1.0), Term(2e-6, {"images": 1})))
)
def random_images(data: Images, params: RandomParams, ctx: Context) -> ImagesSummary:
    """Real images at random within each class."""
    return pick_by(data, params, at_random, "random", ctx, features=lambda rows: rows[:, None])
