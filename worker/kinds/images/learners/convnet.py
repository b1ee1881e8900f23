"""ConvNet, the network of the field: blocks of convolution, instance norm, ReLU and average pool, and a linear head."""

from __future__ import annotations

from typing import Any

from worker.contract.context import Context
from worker.contract.learner import learner
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.predictor import RECIPES, NetworkFit, network


@learner(kind="images", name="convnet", label="ConvNet", seeds=3, settings=RECIPES)
def convnet(images: ImageSet, params: Any, ctx: Context) -> NetworkFit:
    """ConvNet of 3 blocks for 32 pixels, one more for each doubling."""
    return network("convnet", images, params, ctx, width=params.training.width_on(ctx.device))
