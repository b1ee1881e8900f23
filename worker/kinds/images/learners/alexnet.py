"""AlexNet for small images: five convolutions, max pools, no norm."""

from __future__ import annotations

from typing import Any

from worker.contract.context import Context
from worker.contract.learner import learner
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.predictor import RECIPES, NetworkFit, network


@learner(kind="images", name="alexnet", label="AlexNet", usual=False, seeds=3, settings=RECIPES)
def alexnet(images: ImageSet, params: Any, ctx: Context) -> NetworkFit:
    """Five convolutions, in proportion to the width of the judge."""
    return network("alexnet", images, params, ctx, width=params.training.width_on(ctx.device))
