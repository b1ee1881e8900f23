"""Deficient support: how much of a target policy lies on actions that the logging policy never takes.

U(x) = {a : mu(a|x) = 0}. Importance weighting sees nothing of the target's mass there, so its bias is minus the missed
reward, E_x sum_{a in U(x)} pi(a|x) q(x,a), and E[w] = 1 - m with m the unsupported mass (arXiv:2006.09438). What can be
done about it is in `worker.kinds.bandit.remedies`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimators.per_round import PerRound
from worker.kinds.bandit.policies import Floats, Policy
from worker.kinds.bandit.support import Support, support_of, unsupported_mass


def support_of_log(log: BanditLog) -> Support | None:
    """The declared support of a log, or that of its logging policy; None when neither is known."""
    if log.support is not None:
        return log.support
    return None if log.logging is None else support_of(log.logging)


@dataclass(frozen=True)
class Deficiency:
    """How much of a target policy the log cannot see.

    `mass` (n,): unsupported mass of every round, None when only logged propensities are known; then the proxies speak:
    `shortfall` = 1 - mean(w) estimates m (`shortfall_se` its standard error), and `never_logged_mass`, the target's
    mass on actions that no round took at all, is no more than a hint, since such an action may have been possible.
    """

    mass: Floats | None
    mean: float
    shortfall: float
    shortfall_se: float
    never_logged: int
    never_logged_mass: float

    @property
    def known(self) -> bool:
        """Whether the support is known, so that `mean` is exact and not the proxy."""
        return self.mass is not None


def detect(log: BanditLog, target: Policy, ratio: Floats | None = None, mass: Floats | None = None) -> Deficiency:
    """Measure the unsupported mass of a target policy on a log, or its proxies where the support is unknown.

    `ratio` (n,): the plain weights, `mass` (n,): the unsupported mass, where the caller has them already.
    """
    if ratio is None:
        ratio = target.at(log.action) / log.propensity
    weight = PerRound(np.zeros(log.n), ratio, rounds=log.weight)
    tried = np.bincount(log.action, minlength=log.n_actions) > 0
    unseen = target.times((~tried).astype(np.float64)[:, None])[:, 0]
    if mass is None and (support := support_of_log(log)) is not None:
        mass = unsupported_mass(target, support)
    return Deficiency(
        mass=mass,
        mean=max(0.0, 1.0 - weight.value) if mass is None else weight.mean(mass),
        shortfall=1.0 - weight.value,
        shortfall_se=weight.se,
        never_logged=int((~tried).sum()),
        never_logged_mass=weight.mean(unseen),
    )
