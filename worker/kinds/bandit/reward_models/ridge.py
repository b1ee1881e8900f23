"""Ridge regression on [1, x, e], exact, without a matrix of rounds x features or rounds x actions."""

from __future__ import annotations

import numpy as np

from worker.contract.context import Context
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.expectation import Integers
from worker.kinds.bandit.policies import Floats
from worker.kinds.bandit.reward_models.fitted import Bilinear
from worker.kinds.bandit.reward_models.linear_design import LinearDesign


def fit(
    log: BanditLog,
    rounds: Integers,
    *,
    weight: Floats | None = None,
    ctx: Context | None = None,
    ridge: float = 1.0,
) -> Bilinear:
    """Minimise sum_i weight_i (r_i - q(x_i, a_i))^2 + ridge |theta|^2 over the rounds (m,) of a log.

    Features as in `linear_design`. O(m d_x + U d_x^2 + A d_e (d_e + d_x)); its mean under a policy is one product of
    the policy's rows with a vector over actions.
    """
    weights = log.round_weight[rounds] if weight is None else weight
    design = LinearDesign.of(log, rounds, weights)
    theta = design.solve(weights, ridge, design.transpose(weights * log.reward[rounds]))
    by_context, by_action = design.parts(theta)
    return Bilinear(log.rows, by_context, None, np.ascontiguousarray(by_action[:, None]))
