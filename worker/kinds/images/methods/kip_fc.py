"""Learn images from which a wide perceptron's kernel predicts the training images: kernel inducing points.

Nguyen et al., "Dataset Meta-Learning from Kernel Ridge-Regression", arXiv:2011.00050, algorithm 1, with the tangent or
the NNGP kernel of an infinitely wide perceptron in closed form (arXiv:1806.07572). Exact, no training loop, seconds to
minutes on a CPU: O(iterations x batch x images x values). Of all states on the way the one is delivered whose kernel
regression predicts validation images best.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.evidence.distilling import Validate
from worker.kinds.images.dataset import Images
from worker.kinds.images.distillation.candidate import Candidate
from worker.kinds.images.distillation.inducing_points import RIDGE, InducingPoints, KernelSettings, scores
from worker.kinds.images.distillation.optimisers import Optimiser
from worker.kinds.images.distillation.params import FormParams
from worker.kinds.images.distillation.preparation import Preparation, prepare
from worker.kinds.images.distillation.ridge import centred
from worker.kinds.images.summary import ImagesSummary

_ITERATIONS = {"quick": 400, "standard": 2_000, "paper": 20_000}


class KipParams(FormParams):
    """Parameters of `kip-fc`."""

    lr_img: float = Field(
        0.08, gt=0, le=10, description="Step size of Adam at the start, in standard deviations of a pixel."
    )
    kernel: Literal["ntk", "nngp"] = Field("ntk", description="Tangent kernel, or that of the network at birth.")
    kernel_depth: int = Field(1, ge=1, le=4, description="Hidden layers of the perceptron.")
    ridge: float = Field(RIDGE, gt=0, le=10, description="Ridge, as a share of the kernel's mean diagonal.")
    learn_labels: bool = Field(False, description="Learn soft labels, too; networks are then trained on these scores.")


def by_regression(begun: Preparation, settings: KernelSettings) -> Validate[Candidate] | None:
    """Scores a candidate by its own kernel regression on validation images."""
    held = begun.validation_images()
    if held is None:
        return None
    x, y = held

    @torch.no_grad()
    def accuracy(candidate: Candidate, ctx: Context) -> float:
        ctx.progress(0, 1)
        images = begun.images(candidate)
        labels = centred(torch.from_numpy(images.y), begun.classes) if images.soft is None else (
            torch.from_numpy(images.soft))  # fmt: skip
        support = torch.from_numpy(images.all()).to(x)
        said = scores(settings, support, labels.to(x.device), x)
        return float((said.argmax(1).cpu().numpy() == y).mean())

    return accuracy


@method(
    kind="images",
    task="distil",
    name="kip-fc",
    version=1,
    paper="arXiv:2011.00050",
    device="any",
    memory_mb=2048,
    cost=Cost(
        seconds=(
            Term(3.0),
            Term(5e-5, {"budget": 1, "values": 1}, {"params.preset": "quick"}),
            Term(3e-4, {"budget": 1, "values": 1}, {"params.preset": "standard"}),
            Term(3e-3, {"budget": 1, "values": 1}, {"params.preset": "paper"}),
        ),
        memory_mb=(Term(500.0), Term(8e-6, {"images": 1, "values": 1})),
    ),
)
def kip_fc(data: Images, params: KipParams, ctx: Context) -> ImagesSummary:
    """Learned images from which a wide perceptron's kernel predicts the training images."""
    begun = prepare(data, params, ctx, soft=params.learn_labels, loss="mse")

    def labels(y: Tensor) -> Tensor:
        return centred(y, begun.classes)

    synthetic = begun.synthetic(labels if params.learn_labels else None)
    settings = KernelSettings(params.kernel, params.kernel_depth, params.ridge, begun.batch_real(1000))
    optimiser = Optimiser(synthetic.variables, params.lr_img)
    iterations = params.iterations or _ITERATIONS[params.preset]
    problem = InducingPoints(synthetic, begun.real, settings, optimiser, iterations, ctx.seed)
    learned = begun.learned(problem, by_regression(begun, settings), iterations)
    return begun.summary(learned, "kip-fc", "ntk")
