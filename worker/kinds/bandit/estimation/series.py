"""The series of a target's gain in one reward of a log, and what in it speaks against the propensities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.gain import checks
from worker.kinds.bandit.gain.anytime import Monitored, anytime_gain, monitor
from worker.kinds.bandit.gain.checks import Against
from worker.kinds.bandit.gain.control import Control
from worker.kinds.bandit.gain.gain import Gain, both, gain_of
from worker.kinds.bandit.gain.series import Range, Series, calibrated, with_logging_policy, with_propensities
from worker.kinds.bandit.overlap import Overlap, Pairs
from worker.kinds.bandit.policies import Floats


@dataclass(frozen=True)
class Reward:
    """One reward of a log: `log` holds it, `control` predicts it, `against` is what it says of the propensities,
    `limits` its range.
    """

    log: BanditLog
    control: Control
    against: Against
    limits: Range


def series_of(
    reward: Reward,
    name: str,
    weight: Floats,
    pairs: Pairs | None,
    overlap: Overlap | None,
    missing: Floats | None,
    *,
    attested: bool = False,
) -> Series:
    """The gain of the target of this name. `weight` (n,): pi/p; `pairs` and `overlap`: where the logging policy is
    known; `missing` (n,): unsupported mass, where only the support was declared; `attested`: see `with_propensities`.
    """
    log = reward.log
    if pairs is not None and overlap is not None:
        series = with_logging_policy(log, pairs, overlap, weight, reward.control, reward.limits)
    else:
        series = with_propensities(log, weight, missing, reward.control, name, reward.limits, attested=attested)
    return series if reward.against.scores is None else calibrated(series, log, reward.against.scores)


def gain_and_looks(
    reward: Reward,
    series: Series,
    weight: Floats,
    pairs: Pairs | None,
    params: EstimateParams,
    unit: NDArray[np.integer] | None,
    margin: float | None,
) -> tuple[Gain, Monitored | None]:
    """The gain with its tests, and, where it is to hold at every look, the looks."""
    fixed = gain_of(reward.log, series, reward.limits, params.alpha, unit, margin=margin)
    if params.interval == "fixed" or reward.limits is None:
        return fixed, None
    found = monitor(reward.log, weight, pairs, reward.limits)
    # The fixed one is narrower, but heeds more of what may be wrong with propensities.
    return both(anytime_gain(reward.log, weight, found, params.alpha, margin), fixed), found


def doubts_about(reward: Reward, name: str, series: Series) -> tuple[str, ...]:
    """What the log and the target's weights say against the propensities."""
    return (*reward.against.doubts, *checks.of_target(reward.log, series, reward.control, name, reward.limits))
