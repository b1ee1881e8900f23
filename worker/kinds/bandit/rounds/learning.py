"""A policy learnt on chosen rounds against one learnt on all of them, both judged on the same held-out rounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from worker.evidence.measurements import Plot, Series
from worker.evidence.table import Cell, Column, Table
from worker.evidence.wording import number
from worker.kinds.bandit import intervals
from worker.kinds.bandit.dataset import TEST, TRAIN, VALIDATION, BanditLog
from worker.kinds.bandit.estimation.wording import signed, with_interval
from worker.kinds.bandit.estimators import PerRound, Terms
from worker.kinds.bandit.estimators.doubly_robust import dr, sndr
from worker.kinds.bandit.estimators.importance import snips
from worker.kinds.bandit.evaluate_params import EvaluateParams
from worker.kinds.bandit.intervals import Difference
from worker.kinds.bandit.learning.parts import parts
from worker.kinds.bandit.learning.policy_artefact import LearntPolicy
from worker.kinds.bandit.methods.policy_gradient import PolicyGradientParams, policy_gradient
from worker.kinds.bandit.reward_models import ridge
from worker.kinds.bandit.reward_models.crossfit import crossfit
from worker.kinds.bandit.rounds import coresets
from worker.kinds.bandit.rounds.summary import RoundsSummary
from worker.contract.context import Context

FOLDS = 3
VALIDATION_SHARE = 0.15
SIZES = (0.25, 1.0, 4.0)  # random rounds, as multiples of the summary's number
FULL, SUMMARY, RANDOM = "all rounds", "this summary", "random rounds"


@dataclass(frozen=True)
class Learnt:
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


class _Aside(Context):
    """A training within a job: it may be cancelled with the job, but its checkpoints and warnings are its own."""

    def __init__(self, outer: Context) -> None:
        super().__init__(seed=outer.seed, device=outer.device, deadline=outer.deadline)
        self.outer = outer

    def report_progress(self, step: int, total: int, phase: str, metrics: Mapping[str, float], fraction: float) -> None:
        """Pass on how far this training is."""
        self.outer.progress(step, total, phase="learn")

    def checkpoint_due(self) -> bool:
        """Never: the job starts this training again."""
        return False


def learn_and_judge(data: BanditLog, summary: RoundsSummary, params: EvaluateParams, ctx: Context) -> Learnt:
    """Learn on all training rounds, on the summary, and on random rounds; judge all on the held-out ones."""
    rounds = parts(data, ctx.seed)
    train, held = data.take(rounds.train), data.take(rounds.test)
    m = summary.log.n
    rng = np.random.default_rng([ctx.seed, 2])
    sizes = sorted({min(train.n, max(64, round(m * share))) for share in SIZES} | {min(m, train.n)})
    sets = {FULL: train, SUMMARY: summary.log}
    random = {size: _weighted(train, coresets.uniform_rounds(train.n, size, rng)) for size in sizes}
    made: dict[str, LearntPolicy] = {}
    work: dict[str, BanditLog] = {**sets, **{f"{RANDOM} {size}": log for size, log in random.items()}}
    for step, (name, log) in enumerate(work.items()):
        with ctx.share(step, len(work) + 1, phase="learn"):
            made[name] = _learn(log, ctx)
    found = _values(held, made, params, ctx)
    values = {FULL: found[FULL], SUMMARY: found[SUMMARY], RANDOM: found[f"{RANDOM} {min(m, train.n)}"]}
    return Learnt(
        n=held.n,
        values=values,
        logging=PerRound(np.zeros(held.n), held.reward, rounds=held.weight),
        rounds={FULL: train.n, SUMMARY: m, RANDOM: min(m, train.n)},
        margin=params.epsilon * abs(values[FULL].value),
        alpha=params.alpha,
        curve=tuple((size, intervals.normal(found[f"{RANDOM} {size}"], params.alpha)) for size in sizes),
        estimator=params.estimator,
    )


def _learn(log: BanditLog, ctx: Context) -> LearntPolicy:
    """Learn with the defaults on these rounds alone: a share of them chooses, as for someone who has no others."""
    split = np.full(log.n, TRAIN, np.int8)
    split[np.random.default_rng([ctx.seed, 3]).random(log.n) < VALIDATION_SHARE] = VALIDATION
    # parts() draws what a split lacks from the training rounds; a test part is not needed here, so one round names it.
    split[-1] = TEST
    return policy_gradient(replace(log, split=split), PolicyGradientParams(), _Aside(ctx))


def _weighted(train: BanditLog, pick: coresets.Pick) -> BanditLog:
    rounds, omega = pick
    kept = train.take(rounds)
    return replace(kept, weight=omega * kept.round_weight)


def _values(
    held: BanditLog, made: dict[str, LearntPolicy], params: EvaluateParams, ctx: Context
) -> dict[str, PerRound]:
    policies = {name: learnt.policy_on(held) for name, learnt in made.items()}
    weights = {name: policy.at(held.action) / held.propensity for name, policy in policies.items()}
    if params.estimator == "snips":
        return {name: snips(Terms(held.reward, weight, rounds=held.weight)) for name, weight in weights.items()}
    reward = crossfit(held, ridge.fit, policies, FOLDS, ctx.seed, ctx)
    form = dr if params.estimator == "dr" else sndr
    return {
        name: form(Terms(held.reward, weight, reward.q_logged, reward.dm[name], held.weight))
        for name, weight in weights.items()
    }
