"""The prediction that is taken off every reward before it is weighted: the reward model, or no more than a mean.

Any prediction made without the round itself leaves the gain unbiased; a good one takes noise away. The better of the
two on held-out rounds is used, for all targets alike, so that differences of targets stay paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.contract.context import Context
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.overlap import Gap
from worker.kinds.bandit.policies import Floats, Policy
from worker.kinds.bandit.reward_models import per_action
from worker.kinds.bandit.reward_models.choice import MOST_ACTIONS
from worker.kinds.bandit.reward_models.crossfit import CrossFitted, crossfit, mean_under
from worker.kinds.bandit.reward_models.fitted import Bilinear


@dataclass(frozen=True)
class Control:
    """`logged` (n,): prediction at the logged action; `model` None: it is the same for every action."""

    logged: Floats
    model: CrossFitted | None

    def mean(self, name: str) -> Floats:
        """The prediction's mean under a target (n,)."""
        return self.logged if self.model is None else self.model.dm[name]

    def under(self, gap: Gap, back: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """Sum over actions of gap times prediction (n,), and what the gap's rows lack to zero (n,), in one pass.

        `back` (n,): row of the gap that each round has.
        """
        ones = np.ones((gap.n_actions, 1))
        if self.model is None:
            lost = np.maximum(-gap.times(ones)[back, 0], 0.0)
            return self.logged * -lost, lost
        linear = [model for model in self.model.models if isinstance(model, Bilinear)]
        if len(linear) < len(self.model.models):
            lost = np.maximum(-gap.times(ones)[back, 0], 0.0)
            return mean_under(list(self.model.models), Policy(gap, back.astype(np.int32)), self.model.fold), lost
        every = gap.times(np.concatenate([*(model.right for model in linear), ones], axis=1))
        lost = np.maximum(-every[back, -1], 0.0)
        width, found = linear[0].right.shape[1], np.empty(len(back))
        for number, model in enumerate(linear):
            mine = np.flatnonzero(self.model.fold == number)
            found[mine] = model.given_mean(every[:, number * width : (number + 1) * width], back[mine], mine)
            # The constant came once, as for a policy; these rows sum to -lost.
            found[mine] -= model.constant[model.context[mine]] * (1.0 + lost[mine])
        return found, lost


def control_of(
    log: BanditLog, reward: CrossFitted, targets: Mapping[str, Policy], ctx: Context, *, chosen: bool = False
) -> Control:
    """Choose by the squared error on rounds that the prediction did not see.

    Among the mean, the job's reward model, and one with coefficients of its own for every action, which sees what an
    additive model cannot: that different contexts want different actions; not again where the job's model was `chosen`
    among such.
    """
    found = [Control(_means_of_others(log, reward), None)]
    if not reward.in_sample:
        found.append(Control(reward.q_logged, reward))
        if not chosen and log.n_actions <= MOST_ACTIONS and log.contexts.shape[1] and per_action.fits_in_memory(log):
            own = crossfit(log, per_action.fit, targets, reward.folds, ctx.seed, ctx)
            found.append(Control(own.q_logged, own))
    return min(found, key=lambda one: float(log.round_weight @ (log.reward - one.logged) ** 2))


def _means_of_others(log: BanditLog, reward: CrossFitted) -> Floats:
    """Mean reward of the rounds of all other folds, for every round (n,)."""
    weight, folds = log.round_weight, max(reward.folds, 1)
    mass = np.bincount(reward.fold, weight, folds)
    sums = np.bincount(reward.fold, weight * log.reward, folds)
    if folds == 1:
        return np.full(log.n, sums[0] / mass[0])
    return ((sums.sum() - sums) / (mass.sum() - mass))[reward.fold]
