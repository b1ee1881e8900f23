"""LeNet-5 with ReLU and max pools, the oldest of the architectures that summaries are carried over to."""

from __future__ import annotations

from typing import Any

from worker.contract.context import Context
from worker.contract.learner import learner
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.predictor import RECIPES, NetworkFit, network


@learner(kind="images", name="lenet", label="LeNet", seeds=3, settings=RECIPES)
def lenet(images: ImageSet, params: Any, ctx: Context) -> NetworkFit:
    """Two convolutions and three linear layers."""
    return network("lenet", images, params, ctx)
