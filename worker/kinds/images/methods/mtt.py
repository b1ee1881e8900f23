"""Learn images on which a student goes where experts went that were trained on the real images: trajectory matching.

Cazenavette et al., "Dataset Distillation by Matching Training Trajectories", arXiv:2203.11932. Engines `exact`
(backpropagation through all student steps in the memory of one) and `tesla` (arXiv:2211.10586, an approximation that is
cheaper by a third); `datm`: flat experts, learned soft labels, a window of start epochs that grows, outliers skipped
(arXiv:2310.05773). The learned step size is delivered, and networks are trained with it.

Experts are trained on the full data first: experts x expert_epochs passes, kept on disk, parameters x epochs x 4 bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import Cost, Term, method
from worker.kinds.images.dataset import Images
from worker.kinds.images.distillation.costs import MEMORY, passes
from worker.kinds.images.distillation.experts import ExpertTraining, experts, with_weights
from worker.kinds.images.distillation.params import AugmentedParams
from worker.kinds.images.distillation.preparation import prepare
from worker.kinds.images.distillation.trajectories import Engine
from worker.kinds.images.distillation.trajectory_matching import TrajectoryMatching, TrajectorySettings
from worker.kinds.images.networks import Network
from worker.kinds.images.summary import ImagesSummary

_ITERATIONS = {"quick": 20, "standard": 1_000, "paper": 5_000}
_BATCH = {"quick": 64, "standard": 256, "paper": 256}
_SHARP = 5.0  # logit of the class of a learned label at its start


@dataclass(frozen=True)
class _Effort:
    """Experts, their epochs and step size; student steps, the expert's epochs they stand for, the last start epoch."""

    experts: int
    epochs: int
    rate: float
    steps: int
    ahead: int
    last: int
    lr_img: float


_EFFORTS = {
    "quick": _Effort(2, 8, 0.02, 10, 2, 4, 100.0),
    "standard": _Effort(10, 30, 0.01, 20, 2, 20, 100.0),
    "paper": _Effort(100, 50, 0.01, 30, 2, 20, 100.0),
}


class MTTParams(AugmentedParams):
    """Parameters of `mtt`."""

    engine: Engine = Field("exact", description="Gradient through all student steps, or tesla's approximation of it.")
    datm: bool = Field(False, description="Flat experts, learned soft labels, and start epochs that move later.")
    experts: int | None = Field(None, ge=1, le=200, description="Networks trained on the full data; null: by preset.")
    expert_epochs: int | None = Field(None, ge=1, le=1000, description="Epochs of an expert; null: by preset.")
    syn_steps: int | None = Field(None, ge=1, le=500, description="Steps of the student; null: by preset.")
    ahead: int | None = Field(
        None, ge=1, le=100, description="Expert's epochs from a student's start to its target; null: by preset."
    )
    first_start: int = Field(0, ge=0, le=1000, description="First epoch at which a student may start.")
    last_start: int | None = Field(
        None, ge=1, le=1000, description="Epoch before which students start; null: by preset."
    )
    batch_syn: int = Field(0, ge=0, le=100_000, description="Made images of a student step; 0: all of them.")
    lr_img: float | None = Field(None, gt=0, le=1e6, description="Step size of SGD on the images; null: by preset.")
    lr_rate: float = Field(0.1, gt=0, le=10, description="Step size of SGD on the logarithm of the student's step.")
    lr_label: float = Field(2.0, gt=0, le=1000, description="Of datm: step size of SGD on the labels.")


@method(
    kind="images",
    task="distil",
    name="mtt",
    version=2,
    paper="arXiv:2203.11932",
    device="any",
    memory_mb=4096,
    cost=Cost(
        seconds=(
            *passes(_ITERATIONS, dict.fromkeys(_ITERATIONS, 0), items=100),
            Term(3e-5, {"images": 1, "values": 1}, {"params.preset": "quick"}),
            Term(5e-4, {"images": 1, "values": 1}, {"params.preset": "standard"}),
            Term(9e-3, {"images": 1, "values": 1}, {"params.preset": "paper"}),
        ),
        memory_mb=MEMORY,
    ),
)
def mtt(data: Images, params: MTTParams, ctx: Context) -> ImagesSummary:
    """Learned images on which a student goes where experts went on the real ones."""
    begun = prepare(data, params, ctx, soft=params.datm)
    effort, strategy = _EFFORTS[params.preset], begun.strategy(params.dsa)
    epochs = params.expert_epochs or effort.epochs
    settings = _settings(params, effort, epochs, strategy)
    training = ExpertTraining(
        epochs, effort.rate, begun.batch_real(_BATCH[params.preset]), strategy, 0.01 if params.datm else 0.0
    )
    count = params.experts or effort.experts
    paths = experts(begun.network, begun.real, training, count, 2 * count, ctx)

    def labels(y: Tensor) -> Tensor:
        return _SHARP * torch.nn.functional.one_hot(y, begun.classes).float()

    synthetic = begun.synthetic(labels if params.datm else None)
    if params.datm and params.init == "real":
        _opinions(synthetic.variables["labels"], begun.network(0), paths, synthetic.images(), begun.form.copies)
    rates = {name: params.lr_img or effort.lr_img for name in synthetic.stored}
    rates |= {"rate": params.lr_rate, "labels": params.lr_label}
    problem = TrajectoryMatching(synthetic, paths, begun.network(0), settings, rates, 0.5, ctx.seed)
    iterations = params.iterations or _ITERATIONS[params.preset]
    learned = begun.learned(problem, begun.network_validation(strategy), iterations)
    return begun.summary(learned, "mtt", params.network, experts_done=len(paths), rate=learned.best.rate)


def _settings(params: MTTParams, effort: _Effort, epochs: int, strategy: str) -> TrajectorySettings:
    """Raises `JobError` where experts end before any student's target."""
    ahead = params.ahead or min(effort.ahead, epochs)
    last = min(params.last_start or effort.last, epochs - ahead + 1)
    if last <= params.first_start:
        raise JobError(
            "invalid_input",
            f"Experts of {epochs} epochs end before a target {ahead} epochs after a start at {params.first_start}.",
            hint=f"Set expert_epochs to at least {params.first_start + ahead}.",
            pointer="/params/expert_epochs",
        )
    return TrajectorySettings(
        params.syn_steps or effort.steps, ahead, params.first_start, last,
        params.first_start + max(1, (last - params.first_start) // 2) if params.datm else last,
        params.batch_syn, strategy, params.engine, effort.rate, grow=50, skip=1.1 if params.datm else 0.0,
    )  # fmt: skip


def _opinions(labels: Tensor, network: Network, paths: list[np.ndarray], images: Tensor, copies: int) -> None:
    """Start labels (S, C) at the mean logits of the experts that classify an image right; those of no expert stay."""
    with torch.no_grad():
        seen = images.view(len(labels), copies, *images.shape[1:])[:, 0]
        said = torch.stack([with_weights(network, torch.from_numpy(path[-1])).eval()(seen) for path in paths])
        right = (said.argmax(2) == labels.argmax(1)).float()[:, :, None]
        mean = (said * right).sum(0) / right.sum(0).clamp_min(1)
        labels.copy_(torch.where(right.sum(0) > 0, mean, labels))
