"""Every estimator by the name a user gives it, and what it needs.

A convolved estimator is the plain one on convolved weights, so `pc_snips` and `snips` name the same function; the
caller builds the weights that `weights` asks for and puts them into the terms.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from worker.kinds.bandit.estimators.doubly_robust import direct_method
from worker.kinds.bandit.estimators.doubly_robust import dr, dr_os, sndr, switch_dr
from worker.kinds.bandit.estimators.importance import clipped_ips, ips, snips
from worker.kinds.bandit.estimators.doubly_robust import offcem
from worker.kinds.bandit.estimators.per_round import PerRound, Terms
from worker.kinds.bandit.estimators.subgaussian import sg_dr, sg_ips

Weights = Literal[
    "none", "plain", "convolved", "logging_convolved", "embedding", "cluster", "learnt_groups", "balanced"
]
DEFAULT = ("snips", "dr", "pc_snips", "pc_sndr")


@dataclass(frozen=True)
class Hyper:
    """A hyper-parameter: its argument's name, its default, the values to tune over, and its bounds."""

    name: str
    default: float
    grid: tuple[float, ...]
    low: float
    high: float


@dataclass(frozen=True)
class Estimator:
    """One estimator. `weights`: which weights its terms carry; `model`: needs `q_logged` and `dm` (for `mdr` those of a
    model of the embedding); `self_normalised`: a ratio of means."""

    name: str
    label: str
    compute: Callable[..., PerRound]
    weights: Weights
    model: bool = False
    self_normalised: bool = False
    hyper: Hyper | None = None

    def __call__(self, terms: Terms, value: float | None = None) -> PerRound:
        """The estimate, at a value of the hyper-parameter or its default."""
        if self.hyper is None:
            return self.compute(terms)
        return self.compute(terms, self.hyper.default if value is None else value)

    @property
    def needs_embedding(self) -> bool:
        """Whether action embeddings, a hierarchy or clusters must be known."""
        return self.weights not in ("none", "plain", "balanced", "learnt_groups")

    @property
    def needs_logging_policy(self) -> bool:
        """Whether the whole logging policy must be known, not only the propensities."""
        return self.weights not in ("none", "plain", "balanced")


_INF = math.inf
_LIMITS = (10.0, 50.0, 100.0, 500.0, 1e3, 5e3, 1e4, 5e4, 1e5, 5e5, _INF)
_AMOUNTS = (1e-4, 5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 0.1, 0.5, 1.0)
_limit = partial(Hyper, "limit", grid=_LIMITS, low=0.0, high=_INF)
_amount = Hyper("amount", 0.1, _AMOUNTS, 0.0, 1.0)

_ALL = (
    Estimator("dm", "DM", direct_method, "none", model=True),
    Estimator("ips", "IPS", ips, "plain"),
    Estimator("cips", "Clipped IPS", clipped_ips, "plain", hyper=_limit(100.0)),
    Estimator("snips", "SNIPS", snips, "plain", self_normalised=True),
    Estimator("dr", "DR", dr, "plain", model=True),
    Estimator("sndr", "SNDR", sndr, "plain", model=True, self_normalised=True),
    Estimator("switch", "Switch-DR", switch_dr, "plain", model=True, hyper=_limit(100.0)),
    Estimator("dros", "DRos", dr_os, "plain", model=True, hyper=_limit(100.0)),
    Estimator("sgips", "SG-IPS", sg_ips, "plain", hyper=_amount),
    Estimator("sgdr", "SG-DR", sg_dr, "plain", model=True, hyper=_amount),
    Estimator("bipw", "Balanced IPW", snips, "balanced", self_normalised=True),
    Estimator("mips", "MIPS", ips, "embedding"),
    Estimator("snmips", "SN-MIPS", snips, "embedding", self_normalised=True),
    Estimator("mdr", "MDR", dr, "embedding", model=True),
    Estimator("offcem", "OffCEM", offcem, "cluster", model=True),
    Estimator("group_ips", "GroupIPS", ips, "learnt_groups"),
    Estimator("sim", "SIM", snips, "logging_convolved", self_normalised=True),
    Estimator("pc_ips", "PC-IPS", ips, "convolved"),
    Estimator("pc_snips", "PC-SNIPS", snips, "convolved", self_normalised=True),
    Estimator("pc_dr", "PC-DR", dr, "convolved", model=True),
    Estimator("pc_sndr", "PC-SNDR", sndr, "convolved", model=True, self_normalised=True),
    Estimator("pc_cips", "PC-clip", clipped_ips, "convolved", hyper=_limit(100.0)),
    Estimator("pc_switch", "PC-Switch-DR", switch_dr, "convolved", model=True, hyper=_limit(100.0)),
    Estimator("pc_dros", "PC-DRos", dr_os, "convolved", model=True, hyper=_limit(100.0)),
    Estimator("pc_sgips", "PC-SG-IPS", sg_ips, "convolved", hyper=_amount),
    Estimator("pc_sgdr", "PC-SG-DR", sg_dr, "convolved", model=True, hyper=_amount),
)
ESTIMATORS: dict[str, Estimator] = {estimator.name: estimator for estimator in _ALL}
