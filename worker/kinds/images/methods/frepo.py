"""Learn images and labels from which a ridge regression in the features of trained networks predicts the real ones.

Zhou et al., "Dataset Distillation using Neural Feature Regression", arXiv:2206.00719: networks of a pool learn from the
distilled images as these change; only the last layer is solved to its end, so that a step differentiates one pass
(`distillation.extractor_pool`). Networks are then trained on the learned scores by squared error. First order.
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from worker.contract.context import Context
from worker.contract.method import Cost, method
from worker.kinds.images.dataset import Images
from worker.kinds.images.distillation.costs import MEMORY, passes
from worker.kinds.images.distillation.extractor_pool import RIDGE, ExtractorPool, PoolSettings
from worker.kinds.images.distillation.optimisers import Optimiser
from worker.kinds.images.distillation.params import NetworkParams
from worker.kinds.images.distillation.preparation import prepare
from worker.kinds.images.distillation.ridge import centred
from worker.kinds.images.summary import ImagesSummary

_ITERATIONS = {"quick": 150, "standard": 5_000, "paper": 50_000}
_BATCH = {"quick": 256, "standard": 1024, "paper": 1024}
_RATE = {"quick": 1e-2, "standard": 1e-3, "paper": 3e-4}
_POOL = {"quick": (4, 50, 1e-3), "standard": (10, 100, 3e-4), "paper": (10, 100, 3e-4)}


class FRePoParams(NetworkParams):
    """Parameters of `frepo`."""

    lr_img: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Step size of LAMB, a share of the norm of images and labels; null: by the preset.",
    )
    pool: int | None = Field(None, ge=1, le=100, description="Networks of the pool; null: by the preset.")
    oldest: int | None = Field(
        None, ge=1, le=10_000, description="Training steps after which a network is drawn anew; null: by the preset."
    )
    ridge: float = Field(RIDGE, gt=0, le=10, description="Ridge, as a share of the kernel's mean diagonal.")


@method(
    kind="images",
    task="distil",
    name="frepo",
    version=1,
    paper="arXiv:2206.00719",
    device="any",
    memory_mb=3072,
    cost=Cost(seconds=passes(_ITERATIONS, _BATCH, items=6), memory_mb=MEMORY),
)
def frepo(data: Images, params: FRePoParams, ctx: Context) -> ImagesSummary:
    """Learned images and labels from which a ridge regression in trained features predicts the training images."""
    begun = prepare(data, params, ctx, soft=True, loss="mse")
    size = (begun.classes / 10) ** 0.5

    def labels(y: Tensor) -> Tensor:
        return centred(y, begun.classes) / size

    synthetic = begun.synthetic(labels)
    pool, oldest, rate = _POOL[params.preset]
    settings = PoolSettings(
        params.pool or pool, params.oldest or oldest, begun.batch_real(_BATCH[params.preset]), rate, params.ridge
    )
    optimiser = Optimiser(synthetic.variables, params.lr_img or _RATE[params.preset], "lamb")
    problem = ExtractorPool(
        synthetic, begun.real, lambda seed: begun.network(seed, norm="batch"), settings, optimiser, ctx.seed
    )
    iterations = params.iterations or _ITERATIONS[params.preset]
    learned = begun.learned(problem, begun.network_validation(), iterations)
    return begun.summary(learned, "frepo", params.network)
