"""A policy learnt on chosen rounds against one learnt on all of them: figures, verdict, table and plot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
    """Values of policies on n held-out rounds. `curve`: (rounds, value, low, high) of random picks by size.

    `status`: `equivalent` when two one-sided tests put the summary's policy within the margin of the full log's,
    `short` when its interval lies below, else `undetermined`.
    """

    n: int
    values: dict[str, PerRound]
    logging: PerRound
    rounds: dict[str, int]
    margin: float
    alpha: float
    curve: tuple[tuple[int, intervals.Interval], ...]
    estimator: str

    @property
    def delta(self) -> Difference:
        """V_sum - V_full, paired."""
        return intervals.difference(self.values[SUMMARY], self.values[FULL], self.alpha)

    @property
    def ratio(self) -> float | None:
        """(V_sum - V_log) / (V_full - V_log), where the denominator is more than two standard errors from 0."""
        whole = intervals.difference(self.values[FULL], self.logging, self.alpha)
        if abs(whole.value) <= 2 * whole.se:
            return None
        return (self.values[SUMMARY].value - self.logging.value) / whole.value

    @property
    def status(self) -> str:
        """The rule of the class."""
        if intervals.equivalent(self.delta, self.margin) < self.alpha or self.delta.low > -self.margin:
            return "equivalent"
        return "short" if self.delta.high < 0 else "undetermined"

    @property
    def random_is_equivalent(self) -> bool:
        """Whether random rounds of the same number would have done as well."""
        found = intervals.difference(self.values[RANDOM], self.values[FULL], self.alpha)
        return found.low > -self.margin

    @property
    def headline(self) -> str:
        """The verdict in a line."""
        words = {
            "equivalent": "A policy learnt on it earns as much",
            "short": "A policy learnt on it earns less",
            "undetermined": "Undetermined",
        }
        return words[self.status]

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        full, ours = (intervals.normal(self.values[name], self.alpha) for name in (FULL, SUMMARY))
        text = (
            f"A policy learnt on it earns {with_interval(ours.value, ours.low, ours.high)} a round on held-out rounds, "
            f"one learnt on all rounds {with_interval(full.value, full.low, full.high)}: a difference of "
            f"{signed(self.delta.value, self.delta.low, self.delta.high)}"
        )
        ends = {
            "equivalent": f", not below by more than the margin of {number(self.margin, 4)}.",
            "short": ".",
            "undetermined": f", which neither shows a loss nor excludes one of {number(self.margin, 4)}, the margin.",
        }
        more = {
            "equivalent": " A policy learnt on random rounds of the same number does as well.",
            "short": "",
            "undetermined": "",
        }
        return text + ends[self.status] + (more[self.status] if self.random_is_equivalent else "")

    @property
    def protocol(self) -> str:
        """How the policies were made and judged."""
        return (
            f"Policies were learnt by policy-gradient with its defaults and judged by {self.estimator.upper()} on "
            f"{number(self.n)} held-out rounds; differences are paired."
        )

    def to_json(self) -> dict[str, Any]:
        """The fields of the verdict."""
        d = self.delta
        return {
            "value_full": self.values[FULL].value,
            "value_summary": self.values[SUMMARY].value,
            "value_random": self.values[RANDOM].value,
            "value_logging": self.logging.value,
            "delta": d.value,
            "delta_low": d.low,
            "delta_high": d.high,
            "margin": self.margin,
            "equivalence_p": intervals.equivalent(d, self.margin),
            "ratio": self.ratio,
            "unit": "reward a round",
        }

    def tables(self) -> list[Table]:
        """Values of the learnt policies."""
        rows: list[dict[str, Cell]] = []
        for name, value in self.values.items():
            span = intervals.normal(value, self.alpha)
            over = intervals.difference(value, self.values[FULL], self.alpha)
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
        own = intervals.normal(self.logging, self.alpha)
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
        full = intervals.normal(self.values[FULL], self.alpha)
        ours = intervals.normal(self.values[SUMMARY], self.alpha)
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
