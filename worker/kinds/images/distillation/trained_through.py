"""One run of backpropagation through training, from images and parameters to a summary: what both variants share."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.images.dataset import Images
from worker.kinds.images.distillation.backpropagation import Backpropagation, BackpropagationSettings, Inner
from worker.kinds.images.distillation.optimisers import Optimiser
from worker.kinds.images.distillation.params import AugmentedParams
from worker.kinds.images.distillation.preparation import prepare
from worker.kinds.images.summary import ImagesSummary

ITERATIONS = {"quick": 25, "standard": 1_000, "paper": 20_000}
BATCH = {"quick": 256, "standard": 1024, "paper": 2048}
_WHOLE = {"quick": 10, "standard": 20, "paper": 30}  # steps of a training that is differentiated from end to end
_LONGEST = {"quick": 20, "standard": 100, "paper": 200}
_RATE = {"quick": 3e-2, "standard": 5e-3, "paper": 1e-3}
_SHARP = 5.0  # logit of the class of a learned label at its start


class UnrollParams(AugmentedParams):
    """What both take."""

    longest: int | None = Field(
        None, ge=1, le=5000, description="Steps of a training, the most where its end is drawn; null: by the preset."
    )
    inner: Inner = Field("adam", description="What trains the network on the images.")
    rate: float = Field(5e-3, gt=0, le=10, description="Step size of that training.")
    batch_syn: int = Field(0, ge=0, le=100_000, description="Made images of a step of it; 0: all of them.")
    lr_img: float | None = Field(None, gt=0, le=10, description="Step size of Adam on the images; null: by the preset.")
    learn_labels: bool = Field(False, description="Learn soft labels, too.")
    dsa: str = Field(
        "none",
        pattern="^(auto|none|(color|crop|cutout|flip|scale|rotate)(_(color|crop|cutout|flip|scale|rotate))*)$",
        description="Augmentation within the training: none as published, auto, or names joined by _.",
    )


def trained_through(data: Images, params: UnrollParams, method: str, window: int | None, ctx: Context) -> ImagesSummary:
    """The images that validate best along a run. `window`: differentiated steps at the end; None: all."""
    longest = params.longest or (_WHOLE if window is None else _LONGEST)[params.preset]
    if window is not None and window > longest:
        raise JobError(
            "invalid_input",
            f"A window of {window} steps does not fit in trainings of {longest}.",
            hint=f"Set window to at most {longest}.",
            pointer="/params/window",
        )
    begun = prepare(data, params, ctx, soft=params.learn_labels)

    def labels(y: Tensor) -> Tensor:
        return _SHARP * torch.nn.functional.one_hot(y, begun.classes).float()

    synthetic = begun.synthetic(labels if params.learn_labels else None)
    strategy = begun.strategy(params.dsa)
    settings = BackpropagationSettings(
        longest, longest if window is None else window, begun.batch_real(BATCH[params.preset]), params.batch_syn,
        params.inner, params.rate, strategy,
    )  # fmt: skip
    optimiser = Optimiser(synthetic.variables, params.lr_img or _RATE[params.preset])
    problem = Backpropagation(synthetic, begun.real, begun.network, settings, optimiser, ctx.seed)
    iterations = params.iterations or ITERATIONS[params.preset]
    learned = begun.learned(problem, begun.network_validation(strategy), iterations)
    return begun.summary(learned, method, params.network, longest=longest, window=settings.window)
