"""How far estimates of several policies move when only the kept rounds are used, and with cheap picks of equal size.

For every target its SNIPS value on the kept rounds is compared with that on all training rounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.contract.context import Context
from worker.evidence.plot import Plot, Series
from worker.evidence.table import Cell, Column, Table
from worker.kinds.bandit import intervals, policies
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimation.prepare import units
from worker.kinds.bandit.estimators import PerRound, Terms
from worker.kinds.bandit.estimators.importance import snips
from worker.kinds.bandit.policies import Policy
from worker.kinds.bandit.rounds import coresets


@dataclass(frozen=True)
class Kept:
    """One target's SNIPS value on all rounds and on the summary; `errors`: |pick - full| of every draw of a cheap pick.

    Draw d of a pick is the same rounds for every target.
    """

    target: str
    full: intervals.Interval
    summary: float
    errors: dict[str, coresets.Floats]

    @property
    def error(self) -> float:
        """|summary - full|."""
        return abs(self.summary - self.full.value)


def estimates_kept(train: BanditLog, kept: BanditLog, ctx: Context, *, alpha: float, draws: int) -> list[Kept]:
    """Estimates on all training rounds, on the kept ones, and on `draws` cheap picks of as many rounds."""
    names = {**train.targets, "uniform": policies.uniform(train.n, train.n_actions)}
    ours = {**kept.targets, "uniform": policies.uniform(kept.n, train.n_actions)}
    picks = _cheap_picks(train, kept.n, draws, ctx)
    found: list[Kept] = []
    for step, (name, target) in enumerate(names.items()):
        ctx.progress(step, len(names), phase="estimates")
        weight = target.at(train.action) / train.propensity
        everything = snips(Terms(train.reward, weight, rounds=train.weight))
        errors = {
            label: np.array([abs(_snips_of(train, weight, pick) - everything.value) for pick in drawn])
            for label, drawn in picks.items()
        }
        if name in ours:
            found.append(Kept(name, intervals.normal(everything, alpha, units(train)), _own(kept, ours[name]), errors))
    return found


def _own(log: BanditLog, target: Policy) -> float:
    return snips(Terms(log.reward, target.at(log.action) / log.propensity, rounds=log.weight)).value


def _snips_of(train: BanditLog, weight: np.ndarray, pick: coresets.Pick) -> float:
    rounds, omega = pick
    count = omega * train.round_weight[rounds]
    part = PerRound(np.zeros(len(rounds)), weight[rounds] * train.reward[rounds], weight[rounds], rounds=count)
    return part.value


def _cheap_picks(train: BanditLog, m: int, draws: int, ctx: Context) -> dict[str, list[coresets.Pick]]:
    m = min(m, train.n)
    rng = np.random.default_rng([ctx.seed, 1])
    return {
        coresets.RANDOM: [coresets.uniform_rounds(train.n, m, rng) for _ in range(draws)],
        "rounds by action": [coresets.stratified_rounds(train.action, m, rng) for _ in range(draws)],
        "top rewards": [coresets.top_reward_rounds(train.reward, m, rng) for _ in range(draws)],
    }


def table(kept: list[Kept]) -> Table:
    """Every target's value on all rounds and on the kept ones, with the error of each pick."""
    rows: list[dict[str, Cell]] = [
        {
            "target": one.target,
            "full": one.full.value,
            "low": one.full.low,
            "high": one.full.high,
            "summary": one.summary,
            "error": one.error,
            **{label: float(errors.mean()) for label, errors in one.errors.items()},
        }
        for one in kept
    ]
    cheap = tuple(Column(label, f"Error of {label}", decimals=4) for label in kept[0].errors)
    return Table(
        "estimates",
        "SNIPS value of every target policy on all training rounds and on the kept ones",
        (
            Column("target", "Target policy", "text"),
            Column("full", "All rounds", unit="reward a round", decimals=4, interval=("low", "high")),
            Column("low", "Low", decimals=4),
            Column("high", "High", decimals=4),
            Column("summary", "This summary", unit="reward a round", decimals=4),
            Column("error", "Its error", decimals=4),
            *cheap,
        ),
        tuple(rows),
        note="Errors of cheap picks are means over their draws; the summary is one draw.",
        heading="Estimates kept",
    )


def plot(kept: list[Kept]) -> Plot:
    """The same errors, by target and pick."""
    names = tuple(one.target for one in kept)
    series = [Series("this summary", names, tuple(one.error for one in kept))]
    for label in kept[0].errors:
        drawn = [one.errors[label] for one in kept]
        ends = [np.quantile(errors, (0.025, 0.975)) for errors in drawn]
        low, high = (tuple(float(end[at]) for end in ends) for at in (0, 1))
        series.append(Series(label, names, tuple(float(errors.mean()) for errors in drawn), low, high))
    return Plot(
        "errors",
        "How far estimates move when only the kept rounds are used",
        "Absolute difference to the estimate on all training rounds, by target policy and pick; of cheap picks the "
        "mean over their draws, and where 95 % of these lie.",
        "bar",
        "",
        "reward a round",
        tuple(series),
    )
