"""Weighted sums over the steps of units: importance sampling, plain and self-normalised, and doubly robust forms.

All arrays are (m, L) float64 over m units and their steps; what a unit lacks at its end has reward 0. `weight` is
whatever the rewards of a step are weighted by: the ratio of both policies' probabilities of the whole unit (SIPS,
trajectory-wise IS), of all up to this step (RIPS, per-decision IS), or of the step alone (IIPS). Rewards come
discounted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.kinds.bandit.policies import Floats


@dataclass(frozen=True)
class Estimate:
    """`value`, and `influence` (m,): linearised values of the units, whose mean it is and whose spread its error."""

    value: float
    influence: Floats

    def __add__(self, other: Estimate) -> Estimate:
        """The sum of two estimates on the same units."""
        return Estimate(self.value + other.value, self.influence + other.influence)


def up_to_each(ratio: Floats) -> Floats:
    """Weights of everything up to each step (m, L): the running product of the steps' own ratios."""
    return np.cumprod(ratio, axis=1)


def before_each(weight: Floats) -> Floats:
    """Weights of everything before each step (m, L): those of the step above, 1 at the first."""
    return np.concatenate([np.ones((len(weight), 1)), weight[:, :-1]], axis=1)


def plain(weight: Floats, reward: Floats) -> Estimate:
    """mean_i sum_l w_il r_il: unbiased under right propensities."""
    values = (weight * reward).sum(axis=1)
    return Estimate(float(values.mean()), values)


def self_normalised(weight: Floats, reward: Floats) -> Estimate:
    """sum_l mean_i(w_il r_il) / mean_i(w_il): every step is divided by the mean of its own weights.

    A step at which all weights are 0 has no evidence and counts as 0. The influence is that of the delta method.
    """
    bottom = weight.mean(axis=0)
    safe = np.where(bottom > 0, bottom, 1.0)
    ratio = (weight * reward).mean(axis=0) / safe
    return Estimate(float(ratio.sum()), ((weight * reward - ratio * weight) / safe + ratio).sum(axis=1))


def doubly_robust(weight: Floats, reward: Floats, logged: Floats, expected: Floats) -> Estimate:
    """mean_i sum_l w_l (r_l - Q_l) + w_{l-1} V_l, `weight` of all up to each step.

    `logged` Q at what was done, `expected` V = sum_a pi(a) Q(a), both of the rewards from this step on, discounted as
    `reward`. Jiang and Li 2016 (eq. 10) for trajectories, unrolled; Kiyohara et al. 2022 (section 3.1) for slates.
    """
    return plain(weight, reward - logged) + plain(before_each(weight), expected)


def weighted_doubly_robust(weight: Floats, reward: Floats, logged: Floats, expected: Floats) -> Estimate:
    """The same with every step's weights divided by their mean (WDR: Thomas and Brunskill 2016, section 5)."""
    return self_normalised(weight, reward - logged) + self_normalised(before_each(weight), expected)
