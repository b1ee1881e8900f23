"""One run of gradient matching, from images and parameters to a summary: what DC and DSA share."""

from __future__ import annotations

from pydantic import Field

from worker.contract.context import Context
from worker.kinds.images.dataset import Images
from worker.kinds.images.distillation.gradient_matching import GradientMatching, GradientSettings, loops
from worker.kinds.images.distillation.optimisers import Optimiser
from worker.kinds.images.distillation.params import NetworkParams
from worker.kinds.images.distillation.preparation import prepare
from worker.kinds.images.summary import ImagesSummary

ITERATIONS = {"quick": 12, "standard": 250, "paper": 1_000}
BATCH = {"quick": 64, "standard": 256, "paper": 256}
_QUICK_LOOPS = (5, 10)  # the published ones take hundreds of trainings


class GradientParams(NetworkParams):
    """What both gradient matchings take."""

    lr_img: float | None = Field(
        None,
        gt=0,
        le=1e4,
        description="Step size of SGD on the images; null: 0.1, of an mlp 0.01, quick 10 times that.",
    )
    outer: int | None = Field(
        None, ge=1, le=1000, description="Steps on the images in the life of a network; null: as published for so many "
        "images a class, at most 5 by the preset quick.",
    )  # fmt: skip
    inner: int | None = Field(
        None, ge=1, le=1000, description="Epochs of the network between two of them; null: as published, quick at most "
        "10.",
    )  # fmt: skip


def matched(data: Images, params: GradientParams, method: str, strategy: str, ctx: Context) -> ImagesSummary:
    """The images that validate best along a run of gradient matching under an augmentation."""
    begun = prepare(data, params, ctx)
    strategy, synthetic = begun.strategy(strategy), begun.synthetic()
    outer, inner = loops(begun.per_class * begun.form.copies)
    quick = params.preset == "quick"
    if quick:
        outer, inner = min(outer, _QUICK_LOOPS[0]), min(inner, _QUICK_LOOPS[1])
    settings = GradientSettings(
        params.outer or outer, params.inner or inner, begun.batch_real(BATCH[params.preset]), strategy
    )
    usual = (0.01 if params.network == "mlp" else 0.1) * (10 if quick else 1)
    optimiser = Optimiser(synthetic.variables, params.lr_img or usual, "sgd", momentum=0.5)
    problem = GradientMatching(synthetic, begun.real, begun.network, settings, optimiser, ctx.seed)
    iterations = params.iterations or ITERATIONS[params.preset]
    learned = begun.learned(problem, begun.network_validation(strategy), iterations)
    return begun.summary(learned, method, params.network, outer=settings.outer, inner=settings.inner)
