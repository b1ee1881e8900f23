"""One target policy estimated: every estimator's value, the gain, and what the log is worth for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from worker.contract.errors import JobError
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.deficiency import support_of_log
from worker.kinds.bandit.gain.checks import of_log
from worker.kinds.bandit.gain.claim import mean_of
from worker.kinds.bandit.gain.control import Control
from worker.kinds.bandit.gain.gain import Gain
from worker.kinds.bandit.policies import Floats, Policy
from worker.kinds.bandit.stepwise.gain import SHORTFALL, Range, Weighted, effective_units, gain_of, mean_weights
from worker.kinds.bandit.stepwise.importance import Estimate
from worker.kinds.bandit.stepwise.params import StepwiseParams
from worker.kinds.bandit.support import unsupported_mass

EXCESS = 4.0  # standard errors of the mean weight
LEAST_WORTH = 5.0  # units
MISSING = 0.01
Reliability = Literal["yellow", "orange", "red"]


@dataclass(frozen=True)
class Row:
    """One estimator of one target. `ess`: effective units of its weights at the step where they are fewest."""

    name: str
    label: str
    value: float
    low: float
    high: float
    se: float
    ess: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Weights:
    """The weights of a target: by step (L,) mean, its distance from 1 in standard errors, effective units, largest."""

    mean: Floats
    off: Floats
    worth: Floats
    largest: Floats

    @classmethod
    def of(cls, weight: Floats, unit: NDArray[np.integer] | None) -> Weights:
        """Of weights (m, L)."""
        return cls(*mean_weights(weight, unit), effective_units(weight), weight.max(axis=0))

    @property
    def missing(self) -> float:
        """What the mean weight lacks to 1 at the worst step, 0 where that is within two standard errors."""
        short = np.where(self.off < -SHORTFALL, 1.0 - self.mean, 0.0)
        return float(short.max(initial=0.0))


@dataclass(frozen=True)
class TargetResult:
    """`headline` stands first among `rows`; `gain` over the logging policy, which decides with `doubts` and `weights`.

    `basis`: what the gain rests on, in words that end a sentence ("whatever users look at"), "" for nothing. `leans`:
    what would hold under an assumption that was not made, a sentence. `deterministic`: every logged choice was certain.
    `trust`: the factor that a claim must stand. `left_out`: why an estimator has no row, by its label. `details`: more
    for the files of the report.
    """

    name: str
    rows: tuple[Row, ...]
    gain: Gain
    weights: Weights
    trust: float
    doubts: tuple[str, ...] = ()
    basis: str = ""
    leans: str = ""
    deterministic: bool = False
    left_out: Mapping[str, str] = field(default_factory=dict[str, str])
    details: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def headline(self) -> Row:
        """The estimate that stands for the value."""
        return self.rows[0]

    @property
    def worth(self) -> float:
        """Effective units at the step where they are fewest."""
        return float(self.weights.worth.min())

    @property
    def reliability(self) -> Reliability:
        """red: no interval is known to hold; orange: few units, or decisions that the log cannot speak of."""
        if self.doubts:
            return "red"
        return "orange" if self.worth < LEAST_WORTH or self.weights.missing > MISSING else "yellow"


@dataclass(frozen=True)
class Setting:
    """What all targets of a job share.

    `unit` (m,): user of every unit from 0, None where units are independent; `limits`: of the reward of a row; `trust`:
    see `TargetResult`; `variance`: of the rewards of a unit of one step; `reach`: least and largest mean that units can
    have, where rewards have a range; `against`: what in the log speaks against its propensities, whatever the target.
    """

    alpha: float
    limits: Range
    unit: NDArray[np.integer] | None
    trust: float
    variance: float = 0.0
    reach: Range = None
    against: tuple[str, ...] = ()

    def row(self, name: str, label: str, found: Estimate, weight: Floats | None = None, note: str = "") -> Row:
        """An estimate with its interval, which counts one more unit of the largest influence, as such a one may be due.

        `weight` (m, L): its weights, None where it has none. Without a name it is no value but a difference, which the
        range of values does not bound.
        """
        largest = float(np.max((found.influence - found.value) ** 2, initial=0.0))
        if weight is not None and weight.shape[1] == 1 and (mean := float(weight.mean())) > 0:
            # Where all rewards that count are alike, one more of the largest weight may still be another.
            largest = max(largest, (float(weight.max()) / mean) ** 2 * self.variance)
        mean = mean_of(found.influence, largest, None, self.unit)
        ess = None if weight is None else float(effective_units(weight).min())
        half = float(stats.t.ppf(1 - self.alpha / 2, mean.df)) * mean.se
        low, high = found.value - half, found.value + half
        if self.reach is not None and name:
            low, high = max(low, min(self.reach[0], found.value)), min(high, max(self.reach[1], found.value))
        return Row(name, label, found.value, low, high, mean.se, ess, note)

    def gain(self, given: Weighted) -> Gain:
        """The gain of a target over the logging policy."""
        return gain_of(given, self.alpha, self.unit)

    def doubts(self, weights: Weights, step: str) -> tuple[str, ...]:
        """What the weights say against the propensities; `step`: what a step is called."""
        worst = int(np.argmax(weights.off))
        if weights.off[worst] <= EXCESS:
            return self.against
        where = f" up to {step} {worst + 1}" if len(weights.off) > 1 else ""
        return (*self.against, f"the mean weight{where} is {weights.mean[worst]:.3g}, above the 1 it can have at most")


def limits_of(params: StepwiseParams, declared: Range, reward: Floats) -> Range:
    """The range of rewards, by the job or by the upload; refuses one that rewards lie outside of."""
    low = params.r_min if params.r_min is not None else None if declared is None else declared[0]
    high = params.r_max if params.r_max is not None else None if declared is None else declared[1]
    if low is None or high is None:
        return None
    if reward.min() < low or reward.max() > high or low >= high:
        raise JobError(
            "invalid_params",
            f"Rewards lie between {reward.min():g} and {reward.max():g}, the declared range is {low:g} to {high:g}.",
            hint="Set r_min and r_max to the least and the largest reward that a row can have.",
            pointer="/params/r_min" if reward.min() < low else "/params/r_max",
        )
    return float(low), float(high)


def trust_of(params: StepwiseParams, *, logging_known: bool, estimated: bool) -> float:
    """By how much propensities may be off for a claim to stand, as for other logs of decisions."""
    if params.gamma is not None:
        return params.gamma
    return 1.1 if estimated else 1.0 if logging_known else 1.05


def named(wanted: list[str], known: list[str], upload: str) -> list[str]:
    """The targets to estimate, all that are known by default; `upload`: how one is uploaded.

    Raises `JobError` target_policy_required for a name that is not known, or where there is none.
    """
    names = wanted or known
    unknown = [name for name in names if name not in known]
    if not names or unknown:
        raise JobError(
            "target_policy_required",
            f"There is no target policy {unknown[0]}." if unknown else "The dataset holds no target policy.",
            hint=f"Known: {', '.join(known) or 'none'}. Upload {upload}.",
            pointer="/params/targets",
        )
    return names


def supported(log: BanditLog, policy: Policy | None) -> bool:
    """Whether all that a policy does on the log's rows is known to have been possible there."""
    support = support_of_log(log)
    return policy is not None and support is not None and float(unsupported_mass(policy, support).max()) <= 1e-9


def disagreement(log: BanditLog) -> tuple[str, ...]:
    """What the choices say against an uploaded logging policy: how often each action was taken, and probable ones.

    Given what came before it every choice is one of its own, so the tests of single decisions hold here, too.
    """
    return of_log(log, Control(np.zeros(log.n), None)).doubts


def clusters(params: StepwiseParams, owner: NDArray[np.integer], *, users: bool) -> NDArray[np.integer] | None:
    """The user of every unit (m,) numbered from 0, None where units are independent; `owner` (m,): any numbers."""
    if params.cluster_by == "user" and not users:
        raise JobError(
            "invalid_params",
            "cluster_by is user, but the log has no user column.",
            hint="Upload a column `user_id`, or leave cluster_by out.",
            pointer="/params/cluster_by",
        )
    if not users or params.cluster_by == "unit":
        return None
    return np.unique(owner, return_inverse=True)[1]
