"""Sub-Gaussian weights: w / (1 - L + L w), the power mean of w and 1 of order -1 (Metelli et al. 2021)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from worker.kinds.bandit.estimators.doubly_robust import dr
from worker.kinds.bandit.estimators.importance import ips
from worker.kinds.bandit.estimators.per_round import Floats, PerRound, Terms


def sg_ips(terms: Terms, amount: float = 0.1, order: float = -1.0) -> PerRound:
    """IPS on power-mean weights; amount 0 is IPS, amount 1 makes every weight 1."""
    return ips(replace(terms, weight=power_mean(terms.weight, amount, order)))


def sg_dr(terms: Terms, amount: float = 0.1, order: float = -1.0) -> PerRound:
    """DR on power-mean weights; amount 0 is DR."""
    return dr(replace(terms, weight=power_mean(terms.weight, amount, order)))


def power_mean(weight: Floats, amount: float, order: float = -1.0) -> Floats:
    """((1 - L) w^s + L)^(1/s) for amount L in [0, 1] and order s; s = 0 is the limit w^(1-L).

    With a negative order a weight of 0 stays 0 for L < 1 and becomes 1 at L = 1, as every other weight does (obp
    returns nan there).
    """
    if amount == 0:
        return weight.copy()
    if amount == 1:
        return np.ones(len(weight))
    if order == -1:
        return weight / (1.0 - amount + amount * weight)
    if order == 0:
        return weight ** (1.0 - amount)
    with np.errstate(divide="ignore"):
        return ((1.0 - amount) * weight**order + amount) ** (1.0 / order)
