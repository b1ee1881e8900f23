"""Learn images and labels from which random convolutional features predict the real images, by ridge regression.

Loo et al., "Efficient Dataset Distillation using Random Feature Approximation", arXiv:2210.12067: kernel inducing
points for convolutional networks, linear in the images (`distillation.random_features`); no training in the loop.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from worker.contract.context import Context
from worker.contract.method import Cost, method
from worker.kinds.images.dataset import Images
from worker.kinds.images.distillation.costs import MEMORY, passes
from worker.kinds.images.distillation.params import NetworkParams
from worker.kinds.images.distillation.preparation import prepare
from worker.kinds.images.distillation.random_features import RIDGE, RandomFeatures, RandomFeatureSettings
from worker.kinds.images.distillation.ridge import centred
from worker.kinds.images.summary import ImagesSummary

_ITERATIONS = {"quick": 60, "standard": 1_000, "paper": 10_000}
_BATCH = {"quick": 256, "standard": 1280, "paper": 5120}
_NETS = {"quick": 2, "standard": 8, "paper": 8}
_RATE = {"quick": 1e-2, "standard": 3e-3, "paper": 1e-3}


class RFADParams(NetworkParams):
    """Parameters of `rfad`."""

    lr_img: float | None = Field(
        None, gt=0, le=10, description="Step size of AdaBelief on images and labels; null: by the preset."
    )
    nets: int | None = Field(None, ge=1, le=64, description="Random networks of a step; null: by the preset.")
    platt: bool = Field(True, description="Cross-entropy of scaled scores as loss; else squared errors.")
    learn_labels: bool = Field(True, description="Learn soft labels, too; networks are then trained on these scores.")
    ridge: float = Field(RIDGE, gt=0, le=10, description="Ridge, as a share of the kernel's mean diagonal.")


@method(
    kind="images",
    task="distil",
    name="rfad",
    version=1,
    paper="arXiv:2210.12067",
    device="any",
    memory_mb=3072,
    cost=Cost(seconds=passes(_ITERATIONS, _BATCH, repeats=4), memory_mb=MEMORY),
)
def rfad(data: Images, params: RFADParams, ctx: Context) -> ImagesSummary:
    """Learned images and labels from which random convolutional features predict the training images."""
    begun = prepare(data, params, ctx, soft=params.learn_labels, loss="mse")

    def labels(y: Tensor) -> Tensor:
        return centred(y, begun.classes)

    synthetic = begun.synthetic(labels if params.learn_labels else None)
    settings = RandomFeatureSettings(
        params.nets or _NETS[params.preset], begun.batch_real(_BATCH[params.preset]), params.platt, params.ridge
    )
    rate = params.lr_img or _RATE[params.preset]
    problem = RandomFeatures(
        synthetic, begun.real, lambda seed: begun.network(seed, norm="none"), settings,
        dict.fromkeys(synthetic.variables, rate), ctx.seed,
    )  # fmt: skip
    iterations = params.iterations or _ITERATIONS[params.preset]
    learned = begun.learned(problem, begun.network_validation(), iterations)
    return begun.summary(learned, "rfad", params.network)
