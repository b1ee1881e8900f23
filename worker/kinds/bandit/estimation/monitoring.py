"""Monitoring a log that grows: anytime-valid intervals of the gain, which looks there were, and what they said."""

from __future__ import annotations

from worker.contract.errors import JobError
from worker.evidence.plot import Plot, Series
from worker.evidence.table import Cell, Column, Table
from worker.evidence.wording import decimals_of, number
from worker.kinds.bandit.estimation.estimate import TargetEstimate
from worker.kinds.bandit.estimation.prepare import Prepared
from worker.kinds.bandit.gain.anytime import FIRST, LEAST
from worker.kinds.bandit.gain.gain import CLAIM


def check_anytime(prepared: Prepared) -> None:
    """Raise `JobError` where a log is no sequence that could be watched: too short, weighted, by users, unbounded."""
    log = prepared.log
    if log.n < FIRST + LEAST:
        raise JobError(
            "too_few_rounds",
            f"There are {log.n} rounds; anytime intervals take {FIRST} to tune and at least {LEAST} more.",
            hint="Wait for more rounds, or set interval to fixed.",
            pointer="/params/interval",
        )
    if log.weight is not None:
        raise JobError(
            "invalid_params",
            "Rounds that stand for several are no sequence of decisions.",
            hint="Take the whole log, or set interval to fixed.",
            pointer="/params/interval",
        )
    if prepared.unit is not None:
        raise JobError(
            "invalid_params",
            "Rounds of a user go together, and anytime intervals take them one after another.",
            hint="Set cluster_by to round: the intervals then speak of the rounds seen and not of further users. Or "
            "set interval to fixed.",
            pointer="/params/interval",
        )
    for name, limits in (("", prepared.reward_range), *((g.name, g.reward.limits) for g in prepared.guardrails)):
        if limits is None:
            what = f"the guardrail {name}" if name else "the reward"
            raise JobError(
                "reward_bounds_required",
                f"Anytime intervals hold for a known range only, and {what} has none.",
                hint="Declare r_min and r_max.",
                pointer=f"/params/guardrails/{name}/r_min" if name else "/params/r_min",
            )


def looks(found: list[TargetEstimate], alpha: float) -> Table:
    """The looks at each target's gain, the last at all rounds."""
    rows: list[dict[str, Cell]] = []
    said: list[str] = []
    widths: list[float] = []
    for one in found:
        if one.monitored is None:
            continue
        every = one.monitored.looks(alpha)
        rows += [
            {
                "target": one.name,
                "n": look.rounds,
                "gain": look.value,
                "low": look.low,
                "high": look.high,
                "fixed_low": look.fixed_low,
                "fixed_high": look.fixed_high,
                "p": None if one.reliability == "red" else look.p,
            }
            for look in every
        ]
        widths += [(look.high - look.low) / 2 for look in every]
        decided = [look.rounds for look in every if look.p < CLAIM * alpha]
        when = f"from {number(decided[0])} rounds on" if decided else "at no look"
        said.append(f"{one.name}: p fell below {CLAIM * alpha:.2g} {when}.")
    decimals = decimals_of(min(widths, default=0.001))
    unit = "reward a round"
    return Table(
        "monitoring",
        "The gain over the logging policy at every look",
        (
            Column("target", "Target policy", "text"),
            Column("n", "n", unit="rounds", decimals=0),
            Column("gain", "Over the log", unit=unit, decimals=decimals, interval=("low", "high")),
            Column("low", "Low", unit=unit, decimals=decimals),
            Column("high", "High", unit=unit, decimals=decimals),
            Column("fixed_low", "For one look, low", unit=unit, decimals=decimals),
            Column("fixed_high", "For one look, high", unit=unit, decimals=decimals),
            Column("p", "Anytime p", decimals=4),
        ),
        tuple(rows),
        note=" ".join(
            [
                "These intervals hold at all looks together, however often and for whatever reason one looks, also "
                "where the logging policy learnt from earlier rounds. They are about the mean gain over the rounds up "
                f"to the look; the first {FIRST} rounds tune and are not counted. Those for one look are narrower and "
                "do not hold for whoever looks again.",
                *said,
            ]
        ),
        heading="Monitoring",
        group="target",
    )


def plot(one: TargetEstimate, alpha: float) -> Plot:
    """The gain of one target as rounds came."""
    every = () if one.monitored is None else one.monitored.looks(alpha)
    x = tuple(float(look.rounds) for look in every)
    series = (
        Series(
            "at all looks",
            x,
            tuple(look.value for look in every),
            tuple(look.low for look in every),
            tuple(look.high for look in every),
        ),
        Series("the log", x, (0.0,) * len(x)),
    )
    return Plot(
        f"monitoring-{one.name}",
        f"{one.name}: the gain as rounds came",
        "The gain over the logging policy with intervals that hold at all looks together; a claim stands where the "
        "band leaves zero.",
        "line",
        "rounds (log scale)",
        "reward a round",
        series if len(x) > 1 else (),
        log_x=True,
        n=int(x[-1]) if x else 0,
    )
