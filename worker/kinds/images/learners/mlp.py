"""A perceptron of three hidden layers of 128 units: no convolution, so that nothing of it is built into the images."""

from __future__ import annotations

from typing import Any

from worker.contract.context import Context
from worker.contract.learner import learner
from worker.kinds.images.image_set import ImageSet
from worker.kinds.images.predictor import RECIPES, NetworkFit, network


@learner(kind="images", name="mlp", label="MLP", seeds=3, settings=RECIPES)
def mlp(images: ImageSet, params: Any, ctx: Context) -> NetworkFit:
    """Three hidden layers of 128 units."""
    return network("mlp", images, params, ctx)
