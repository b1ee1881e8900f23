"""Logistic regression on [1, x, e] for rewards in [0, 1], by Newton's method on the structured design."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.expectation import Integers
from worker.kinds.bandit.policies import Floats
from worker.kinds.bandit.reward_models.fitted import Pointwise
from worker.kinds.bandit.reward_models.linear_design import LinearDesign

STEPS = 50


def fit(
    log: BanditLog,
    rounds: Integers,
    *,
    weight: Floats | None = None,
    ctx: Context | None = None,
    ridge: float = 1.0,
) -> Pointwise:
    """Maximise the weighted log-likelihood minus ridge |theta|^2 / 2; rewards strictly between 0 and 1 are shares.

    Errors: `invalid_input` for rewards outside [0, 1], `single_class_reward` if all rewards are 0 or all are 1.
    """
    reward = log.reward[rounds]
    if reward.min() < 0 or reward.max() > 1:
        raise JobError("invalid_input", "the logistic reward model needs rewards in [0, 1]", hint="use ridge or gbdt")
    if reward.max() == 0 or reward.min() == 1:
        raise JobError(
            "single_class_reward",
            "every reward in the rounds to fit is the same class, so there is nothing to separate",
            hint="use reward_model ridge or none",
        )
    weights = log.round_weight[rounds] if weight is None else weight
    design = LinearDesign.of(log, rounds, weights)
    theta = _newton(design, reward, weights, ridge, ctx)
    by_context, by_action = design.parts(theta)

    def predict(contexts: Integers, actions: Integers) -> Floats:
        return expit(by_context[contexts] + by_action[actions])

    return Pointwise(log.rows, log.n_actions, predict)


def _newton(design: LinearDesign, reward: Floats, weight: Floats, ridge: float, ctx: Context | None) -> Floats:
    penalty = np.full(design.size, ridge)
    penalty[0] = 0.0
    theta = np.zeros(design.size)
    mean = weight @ reward / weight.sum()
    theta[0] = np.log(mean / (1 - mean))
    loss, scores = _loss(design, theta, reward, weight, penalty)
    for step in range(STEPS):
        if ctx is not None:
            ctx.progress(step, STEPS, phase="reward model")
        p = expit(scores)
        gradient = design.transpose(weight * (p - reward)) + penalty * theta
        # Curvature below 1e-10 of a round's weight would make the system singular where p has saturated.
        move = design.solve(weight * np.maximum(p * (1 - p), 1e-10), ridge, gradient)
        size = 1.0
        while True:
            trial, trial_scores = _loss(design, theta - size * move, reward, weight, penalty)
            if trial <= loss or size < 1e-6:
                break
            size /= 2
        theta = theta - size * move
        done = loss - trial <= 1e-12 * max(abs(loss), 1.0)
        loss, scores = trial, trial_scores
        if done:
            break
    return theta


def _loss(design: LinearDesign, theta: Floats, reward: Floats, weight: Floats, penalty: Floats) -> tuple[float, Floats]:
    scores = design.scores(theta)
    nll = weight @ (np.logaddexp(0.0, scores) - reward * scores)
    return float(nll + 0.5 * penalty @ (theta * theta)), scores
