"""The series of a target's gain in one reward of a log, and what in it speaks against the propensities."""

from __future__ import annotations

from dataclasses import dataclass

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.gain import checks
from worker.kinds.bandit.gain.checks import Against
from worker.kinds.bandit.gain.control import Control
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
) -> Series:
    """The gain of the target of this name. `weight` (n,): pi/p; `pairs` and `overlap`: where the logging policy is
    known; `missing` (n,): unsupported mass, where only the support was declared.
    """
    log = reward.log
    if pairs is not None and overlap is not None:
        series = with_logging_policy(log, pairs, overlap, weight, reward.control, reward.limits)
    else:
        series = with_propensities(log, weight, missing, reward.limits)
    return series if reward.against.scores is None else calibrated(series, log, reward.against.scores)


def doubts_about(reward: Reward, name: str, series: Series) -> tuple[str, ...]:
    """What the log and the target's weights say against the propensities."""
    return (*reward.against.doubts, *checks.of_target(reward.log, series, reward.control, name, reward.limits))
