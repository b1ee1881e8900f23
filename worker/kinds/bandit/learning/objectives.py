"""What a policy is trained to maximise: differentiable estimates of its value, from the weights of the logged actions.

Every objective is a function of w = pi(a_i|x_i)/p_i alone, beside a sum over actions where one takes part, so torch's
derivative of it with respect to w drives any model. With s_i = grad log pi(a_i|x_i): IPS has gradient mean(w r s);
SNIPS mean(w (r - v) s)/mean(w); DR mean(w (r - q) s) + grad mean(dm). All sums run in float64.

POEM (Swaminathan, Joachims 2015) is the value less a penalty on its own standard error: it minimises
-mean(u) + lam sqrt(var(u)/n), u = min(w, M) r, var with ddof 1. The square root couples all rounds. As it is
concave, and -ubar^2 lies below its tangent, with ubar0 and V0 at the start of an epoch

    -mean(u) + C mean(u) + B mean(u^2) + constant,   B = lam sqrt(n) / (2 (n-1) sqrt(V0)),   C = -2 B ubar0

lies above the loss everywhere, touches it with equal gradient at the expansion point, and is a plain mean of rounds:
this bound makes mini-batches possible.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Rounds of one step, all (m,) float64.

    `weight`: w, the differentiable one. `modelled`: sum over actions of pi times modelled rewards (all actions in
    doubly robust objectives, the unsupported ones in reward extrapolation). `q_logged`: the model at the logged action.
    `count`: how many rounds a row stands for.
    """

    weight: Tensor
    reward: Tensor
    q_logged: Tensor | None = None
    modelled: Tensor | None = None
    count: Tensor | None = None

    def mean(self, values: Tensor) -> Tensor:
        """Round-weighted mean of (m,)."""
        return values.mean() if self.count is None else (self.count * values).sum() / self.count.sum()

    @property
    def residual(self) -> Tensor:
        """r - q_hat at the logged action; r without a model."""
        return self.reward if self.q_logged is None else self.reward - self.q_logged

    @property
    def model_part(self) -> Tensor:
        """mean(modelled), zero without a model."""
        return self.weight.new_zeros(()) if self.modelled is None else self.mean(self.modelled)


Objective = Callable[[Batch], Tensor]


@dataclass(frozen=True)
class Settings:
    """`name`: ips | snips | dr | banditnet | poem | dros | sg. `k`: the constant of banditnet or restrict_policy.

    `shrinkage`: L of dros (inf: DR; 0: the model alone) and sg (0: IPS or DR). `clip`: largest weight of poem.
    `poem_lambda`: weight of its penalty. `restrict`: whether `k` is a reward for unsupported mass (any objective).
    """

    name: str
    k: float = 0.0
    restrict: bool = False
    shrinkage: float = 1.0
    clip: float = 100.0
    poem_lambda: float = 0.0


def ips(batch: Batch) -> Tensor:
    """mean(w (r - q)) + mean(modelled); with modelled over U(x) only and no q: reward extrapolation."""
    return batch.mean(batch.weight * batch.residual) + batch.model_part


def snips(batch: Batch) -> Tensor:
    """mean(w r)/mean(w): blind to constants in the reward, so it does not run from or to unsupported actions."""
    return batch.mean(batch.weight * batch.reward) / batch.mean(batch.weight)


def banditnet(batch: Batch, lam: float) -> Tensor:
    """mean((r - lam) w): the same function of the policy as restrict_policy at k = lam, less the constant lam."""
    return batch.mean((batch.reward - lam) * batch.weight)


def dros(batch: Batch, shrinkage: float) -> Tensor:
    """mean(modelled + L w/(w^2 + L) (r - q)); weight derivative L (L - w^2)/(w^2 + L)^2."""
    w = batch.weight
    shrunk = w if shrinkage == float("inf") else shrinkage * w / (w * w + shrinkage)
    return batch.mean(shrunk * batch.residual) + batch.model_part


def sg(batch: Batch, shrinkage: float) -> Tensor:
    """mean(modelled + w/(1 - L + L w) (r - q)); weight derivative (1 - L)/(1 - L + L w)^2."""
    w = batch.weight
    return batch.mean(w / (1.0 - shrinkage + shrinkage * w) * batch.residual) + batch.model_part


def restrict_policy(batch: Batch, k: float) -> Tensor:
    """k (1 - mean(w)): the Lagrangian of the unsupported mass; IPS plus it is mean((r - k) w) + k."""
    return k * (1.0 - batch.mean(batch.weight))


@dataclass(frozen=True)
class Expansion:
    """POEM's bound: B, C and the constant that makes it touch."""

    square: float
    linear: float
    constant: float


@torch.no_grad()
def expand(u: Tensor, lam: float, count: Tensor | None = None) -> Expansion:
    """The bound at the present u (n,) of all rounds; without spread (V0 = 0) the penalty is dropped."""
    n = float(len(u) if count is None else count.sum())
    mean = float(_mean(u, count))
    variance = float(_variance(u, count))
    # All u equal leaves rounding noise of the order of eps^2 u^2 instead of zero.
    if n < 2 or variance <= 1e-24 * max(1.0, mean * mean):
        return Expansion(0.0, 0.0, 0.0)
    square = lam * math.sqrt(n) / (2.0 * (n - 1.0) * math.sqrt(variance))
    constant = lam * math.sqrt(variance / n) / 2.0 + square * mean * mean
    return Expansion(square, -2.0 * square * mean, constant)


def poem(u: Tensor, lam: float, count: Tensor | None = None) -> Tensor:
    """The loss -mean(u) + lam sqrt(var(u)/n) of all rounds; the penalty is dropped where all u are equal."""
    n = float(len(u) if count is None else count.sum())
    variance = _variance(u, count)
    mean = _mean(u, count)
    if lam == 0 or n < 2 or float(variance.detach()) <= 1e-24 * max(1.0, float(mean.detach()) ** 2):
        return -mean
    return -mean + lam * (variance / n).sqrt()


def poem_majorised(u: Tensor, expansion: Expansion, count: Tensor | None = None) -> Tensor:
    """The bound of the loss on some rounds: -mean(u) + C mean(u) + B mean(u^2) + constant."""
    return _mean((expansion.linear - 1.0) * u + expansion.square * u * u, count) + expansion.constant


def _mean(u: Tensor, count: Tensor | None) -> Tensor:
    return u.mean() if count is None else (count * u).sum() / count.sum()


def _variance(u: Tensor, count: Tensor | None) -> Tensor:
    """ddof 1; a row of weight c counts as c rounds of the same value."""
    spread = u - _mean(u, count)
    if count is None:
        return (spread * spread).sum() / max(len(u) - 1, 1)
    return (count * spread * spread).sum() / (count.sum() - 1.0).clamp(min=1.0)


def objective(settings: Settings, expansion: Expansion | None = None) -> Objective:
    """The function to maximise. `expansion`: where POEM's mini-batch majoriser touches; None: the exact POEM."""

    def value(batch: Batch) -> Tensor:
        found = _NAMED[settings.name](batch, settings, expansion)
        return found + restrict_policy(batch, settings.k) if settings.restrict else found

    return value


def _poem(batch: Batch, settings: Settings, expansion: Expansion | None) -> Tensor:
    u = torch.clamp(batch.weight, max=settings.clip) * batch.reward
    if expansion is None:
        loss = poem(u, settings.poem_lambda, batch.count)
    else:
        loss = poem_majorised(u, expansion, batch.count)
    return batch.model_part - loss


_NAMED: dict[str, Callable[[Batch, Settings, Expansion | None], Tensor]] = {
    "ips": lambda batch, settings, _: ips(batch),
    "dr": lambda batch, settings, _: ips(batch),  # the batch carries the reward model: that is what makes it DR
    "snips": lambda batch, settings, _: snips(batch),
    "banditnet": lambda batch, settings, _: banditnet(batch, settings.k),
    "dros": lambda batch, settings, _: dros(batch, settings.shrinkage),
    "sg": lambda batch, settings, _: sg(batch, settings.shrinkage),
    "poem": _poem,
}
