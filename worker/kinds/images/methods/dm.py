"""Learn images whose features in random networks are distributed like those of the real images of their class.

Zhao and Bilen, "Dataset Condensation with Distribution Matching", arXiv:2110.04181: means of features. `mmd`: all
moments (M3D, arXiv:2312.15927). `cf`: characteristic functions (NCFM, arXiv:2502.20653), in features of networks
between birth and training. No training within the loop: O(iterations x classes x batch) passes, first order.

Departs from published code: the state that validates best is delivered, not the last; the sampling network of `cf` has
layer norms, since batch norms would tie its frequencies together; `cf` mixes states of one training instead of twenty.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import Cost, method
from worker.kinds.images.dataset import Images
from worker.kinds.images.distillation.costs import MEMORY, passes
from worker.kinds.images.distillation.distribution_matching import DistributionMatching, Matching
from worker.kinds.images.distillation.experts import ExpertTraining, experts, with_weights
from worker.kinds.images.distillation.optimisers import Optimiser
from worker.kinds.images.distillation.params import AugmentedParams
from worker.kinds.images.distillation.preparation import Preparation, prepare
from worker.kinds.images.networks import Network
from worker.kinds.images.summary import ImagesSummary

_ITERATIONS = {"quick": 100, "standard": 5_000, "paper": 20_000}
_BATCH = {"quick": 64, "standard": 256, "paper": 256}
_TRAINED = {"quick": (1, 2), "standard": (4, 20), "paper": (20, 60)}  # networks of `cf`, and their epochs


class DMParams(AugmentedParams):
    """Parameters of `dm`."""

    lr_img: float | None = Field(
        None, gt=0, le=1e4, description="Step size: of SGD 1 (mean) or 10 (mmd), of Adam 0.01 (cf) when null."
    )
    discrepancy: Literal["mean", "mmd", "cf"] = Field(
        "mean", description="What of two samples of features is compared: means, kernels, characteristic functions."
    )
    frequencies: int = Field(1024, ge=16, le=16_384, description="Of cf: where characteristic functions are compared.")
    sampling: bool = Field(False, description="Of cf: a network learns the frequencies at which samples differ most.")
    calibration: float = Field(
        0.0, ge=0, le=100, description="Of cf: weight of a trained network's cross-entropy on the images."
    )


def _between(paths: list[torch.Tensor], fresh: Callable[[int], Network]) -> Callable[[int], Network]:
    """Networks whose weights lie between those at birth and those after training, of one of the paths."""

    def network(seed: int) -> Network:
        generator = torch.Generator().manual_seed(seed)
        path = paths[int(torch.randint(len(paths), (), generator=generator))]
        share = float(torch.rand((), generator=generator))
        return with_weights(fresh(0), share * path[0] + (1 - share) * path[-1])

    return network


def _trained(begun: Preparation, params: DMParams, ctx: Context) -> list[torch.Tensor]:
    count, epochs = _TRAINED[params.preset]
    training = ExpertTraining(epochs, 0.01, 128, begun.strategy(params.dsa), momentum=0.9)
    return [torch.from_numpy(one) for one in experts(begun.network, begun.real, training, count, 2 * count, ctx)]


@method(
    kind="images",
    task="distil",
    name="dm",
    version=1,
    paper="arXiv:2110.04181",
    device="any",
    memory_mb=3072,
    cost=Cost(seconds=passes(_ITERATIONS, _BATCH, per_class=True), memory_mb=MEMORY),
)
def dm(data: Images, params: DMParams, ctx: Context) -> ImagesSummary:
    """Learned images whose features in random networks are distributed like those of real ones."""
    begun = prepare(data, params, ctx)
    strategy, synthetic = begun.strategy(params.dsa), begun.synthetic()
    settings = Matching(
        params.discrepancy, begun.batch_real(_BATCH[params.preset]), strategy, params.frequencies, params.sampling,
        params.calibration,
    )  # fmt: skip
    if params.discrepancy == "cf":
        paths = _trained(begun, params, ctx)
        optimiser = Optimiser(synthetic.variables, params.lr_img or 0.01, decay=0.01)
        problem = DistributionMatching(
            synthetic, begun.real, _between(paths, begun.network), settings, optimiser, ctx.seed,
            trained=lambda seed: with_weights(begun.network(0), paths[seed % len(paths)][-1]),
        )  # fmt: skip
    else:
        rate = params.lr_img or {"mean": 1.0, "mmd": 10.0}[params.discrepancy]
        optimiser = Optimiser(synthetic.variables, rate, "sgd", momentum=0.5)
        problem = DistributionMatching(synthetic, begun.real, begun.network, settings, optimiser, ctx.seed)
    iterations = params.iterations or _ITERATIONS[params.preset]
    learned = begun.learned(problem, begun.network_validation(strategy), iterations)
    return begun.summary(learned, "dm", params.network)
