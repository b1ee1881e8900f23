"""A policy learnt on chosen rounds against one learnt on all of them: figures, verdict, table and plot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from worker.evidence.plot import Plot, Series
from worker.evidence.table import Cell, Column, Table
from worker.evidence.wording import number
from worker.kinds.bandit import intervals
from worker.kinds.bandit.estimation.wording import signed, with_interval
from worker.kinds.bandit.estimators import PerRound
from worker.kinds.bandit.intervals import Difference
from worker.kinds.bandit.rounds.coresets import RANDOM

FULL, SUMMARY = "all rounds", "this summary"


@dataclass(frozen=True)
class PolicyComparison:
    """Values of policies on n held-out rounds. `curve`: value by number of random rounds learnt from.

    `unit` (n,): user from 0 of every held-out round, where users are known. `jobs`: by set, the earlier job in which
    its policy was learnt. `unfinished`: what time left out, "" when nothing.
    """

    n: int
    values: dict[str, PerRound]
    logging: PerRound
    rounds: dict[str, int]
    margin: float
    alpha: float
    curve: tuple[tuple[int, intervals.Interval], ...]
    estimator: str
    unit: intervals.Units | None = None
    jobs: Mapping[str, str] = field(default_factory=dict[str, str])
    unfinished: str = ""

    @property
    def delta(self) -> Difference:
        """V_sum - V_full, paired."""
        return intervals.difference(self.values[SUMMARY], self.values[FULL], self.alpha, self.unit)

    @property
    def over_random(self) -> Difference:
        """V_sum - V_random, paired, random rounds of the same number."""
        return intervals.difference(self.values[SUMMARY], self.values[RANDOM], self.alpha, self.unit)

    @property
    def ratio(self) -> float | None:
        """(V_sum - V_log) / (V_full - V_log), where the denominator is more than two standard errors from 0."""
        whole = intervals.difference(self.values[FULL], self.logging, self.alpha, self.unit)
        if abs(whole.value) <= 2 * whole.se:
            return None
        return (self.values[SUMMARY].value - self.logging.value) / whole.value

    @property
    def status(self) -> Literal["equivalent", "short", "undetermined"]:
        """Against all rounds, whatever the cheap picks do.

        `equivalent` when two one-sided tests put the summary's policy within the margin of the full log's, or its
        interval lies above minus the margin; `short` when it lies below zero; else `undetermined`.
        """
        if intervals.equivalent(self.delta, self.margin) < self.alpha or self.delta.low > -self.margin:
            return "equivalent"
        return "short" if self.delta.high < 0 else "undetermined"

    @property
    def headline(self) -> str:
        """The status in a line."""
        words = {
            "equivalent": "A policy learnt on these rounds earns as much",
            "short": "A policy learnt on these rounds earns less",
            "undetermined": "Undetermined",
        }
        return words[self.status]

    @property
    def sentence(self) -> str:
        """The status in words, and the paired difference to random rounds."""
        full, ours = (intervals.normal(self.values[name], self.alpha, self.unit) for name in (FULL, SUMMARY))
        ends = {
            "equivalent": f", not below by more than the margin of {number(self.margin, 4)}",
            "short": "",
            "undetermined": f", which neither shows a loss nor excludes one of {number(self.margin, 4)}, the margin",
        }
        random = self.over_random
        return (
            f"A policy learnt on the kept rounds earns {with_interval(ours.value, ours.low, ours.high)} a round on "
            f"held-out rounds, one learnt on all rounds {with_interval(full.value, full.low, full.high)}: a difference "
            f"of {signed(self.delta.value, self.delta.low, self.delta.high)}{ends[self.status]}. Over a policy learnt "
            f"on random rounds of the same number the difference is {signed(random.value, random.low, random.high)}."
        )

    @property
    def protocol(self) -> str:
        """How the policies were made and judged."""
        return (
            f"Policies were learnt by policy-gradient with its defaults and judged by {self.estimator.upper()} on "
            f"{number(self.n)} held-out rounds; differences are paired."
            + "".join(f" Learnt in the earlier job {job}: {', '.join(names)}." for job, names in self._by_job().items())
        )

    def _by_job(self) -> dict[str, list[str]]:
        return {job: [name for name, of in self.jobs.items() if of == job] for job in dict.fromkeys(self.jobs.values())}

    def to_json(self) -> dict[str, Any]:
        """What the verdict has beside the difference to all rounds."""
        random = self.over_random
        return {
            "value_full": self.values[FULL].value,
            "value_summary": self.values[SUMMARY].value,
            "value_random": self.values[RANDOM].value,
            "value_logging": self.logging.value,
            "over_random": random.value,
            "over_random_low": random.low,
            "over_random_high": random.high,
            "margin": self.margin,
            "equivalence_p": intervals.equivalent(self.delta, self.margin),
            "ratio": self.ratio,
        }

    def tables(self) -> list[Table]:
        """Values of the learnt policies."""
        rows: list[dict[str, Cell]] = []
        for name, value in self.values.items():
            span = intervals.normal(value, self.alpha, self.unit)
            over = intervals.difference(value, self.values[FULL], self.alpha, self.unit)
            rows.append(
                {
                    "set": name,
                    "rounds": self.rounds[name],
                    "value": span.value,
                    "low": span.low,
                    "high": span.high,
                    "delta": None if name == FULL else over.value,
                    "delta_low": None if name == FULL else over.low,
                    "delta_high": None if name == FULL else over.high,
                    "n": self.n,
                }
            )
        own = intervals.normal(self.logging, self.alpha, self.unit)
        rows.append({"set": "Logging policy", "value": own.value, "low": own.low, "high": own.high, "n": self.n})
        unit = "reward a round"
        return [
            Table(
                "policies",
                "What a policy earns that was learnt on each set of rounds",
                (
                    Column("set", "Learnt on", "text"),
                    Column("rounds", "Rounds", decimals=0),
                    Column("value", "Value", unit=unit, decimals=4, interval=("low", "high")),
                    Column("low", "Low", unit=unit, decimals=4),
                    Column("high", "High", unit=unit, decimals=4),
                    Column("delta", "Against all rounds", unit=unit, decimals=4, interval=("delta_low", "delta_high")),
                    Column("delta_low", "Low", unit=unit, decimals=4),
                    Column("delta_high", "High", unit=unit, decimals=4),
                    Column("n", "n", unit="held-out rounds", decimals=0),
                ),
                tuple(rows),
                heading="Policies learnt",
                highlight=tuple(i for i, row in enumerate(rows) if row["set"] == SUMMARY),
            )
        ]

    def plots(self) -> list[Plot]:
        """Value against the number of rounds learnt from, beside the band of the full log."""
        sizes = tuple(float(m) for m, _ in self.curve)
        full = intervals.normal(self.values[FULL], self.alpha, self.unit)
        ours = intervals.normal(self.values[SUMMARY], self.alpha, self.unit)
        wide = len(sizes)
        series = (
            Series(
                RANDOM,
                sizes,
                tuple(span.value for _, span in self.curve),
                tuple(span.low for _, span in self.curve),
                tuple(span.high for _, span in self.curve),
            ),
            Series(FULL, sizes, (full.value,) * wide, (full.low,) * wide, (full.high,) * wide),
            Series(SUMMARY, (float(self.rounds[SUMMARY]),), (ours.value,), (ours.low,), (ours.high,), (SUMMARY,)),
        )
        return [
            Plot(
                "size",
                "Value of the learnt policy against the number of rounds it was learnt from",
                "Reward a round on held-out rounds with intervals; the level line is the policy learnt on all rounds.",
                "line",
                "rounds (log scale)",
                "reward a round",
                series,
                log_x=True,
                n=self.n,
            )
        ]
