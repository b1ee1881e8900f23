"""What chosen rounds keep of a log: estimates of several policies, and the policy learnt from them.

Two questions, each with the cheap picks of equal size beside it. Estimates: how far is every target's SNIPS value on
the kept rounds from its value on all training rounds? Learning: what does a policy learnt on the kept rounds earn on
held-out rounds, against one learnt on all of them? Both policies are judged by the same estimator on the same rounds,
so their difference is paired, and "as good" means equivalence within a margin (two one-sided tests).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.evidence.findings import Findings, KeyFigure, Tone
from worker.evidence.measurements import Plot, Series
from worker.evidence.table import Cell, Column, Table
from worker.evidence.wording import number, share
from worker.kinds.bandit import intervals, policies
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimators import PerRound, Terms
from worker.kinds.bandit.estimators.importance import snips
from worker.kinds.bandit.evaluate_params import EvaluateParams
from worker.kinds.bandit.policies import Policy
from worker.kinds.bandit.rounds import coresets
from worker.kinds.bandit.rounds.learning import Learnt, learn_and_judge
from worker.kinds.bandit.rounds.summary import RoundsSummary, training_part
from worker.contract.context import Context
from worker.contract.errors import JobError


@dataclass(frozen=True)
class Kept:
    """One target's SNIPS value on all rounds, on the summary, and the mean absolute error of each cheap pick."""

    target: str
    full: intervals.Interval
    summary: float
    errors: dict[str, float]

    @property
    def error(self) -> float:
        """|summary - full|."""
        return abs(self.summary - self.full.value)


def judge_rounds(data: BanditLog, summary: RoundsSummary, params: EvaluateParams, ctx: Context) -> Findings:
    """Findings on a summary of `data`."""
    train = training_part(data)
    _same_actions(train, summary.log)
    with ctx.share(0, 2, phase="estimates"):
        kept = estimates_kept(train, summary, params, ctx)
    learnt = None
    if params.learn:
        with ctx.share(1, 2, phase="policies"):
            learnt = learn_and_judge(data, summary, params, ctx)
    status, tone, headline, sentence = _verdict(kept, learnt, train, summary)
    m = summary.log.n
    figures = [KeyFigure("of the training rounds", share(m / train.n), f"{number(m)} of {number(train.n)}")]
    figures += [
        KeyFigure(f"error on {one.target}", number(one.error, 4), "of its value on all rounds") for one in kept[:2]
    ]
    tables = [_estimates_table(kept)]
    plots = [_errors_plot(kept)]
    if learnt is not None:
        tables += learnt.tables()
        plots += learnt.plots()
    return Findings(
        kind="bandit",
        unit="round",
        units="rounds",
        test_units="rounds",
        n_test=train.n if learnt is None else learnt.n,
        verdict={
            "status": status,
            "sentence": sentence,
            "rows_share": m / train.n,
            "errors": {one.target: one.error for one in kept},
            "random_errors": {one.target: one.errors["random rounds"] for one in kept},
            **({} if learnt is None else learnt.to_json()),
        },
        status={"equivalent": "As good as all rounds", "cheap_would_do": "A random pick would do"}.get(
            status, "Short of all rounds" if status == "short" else "Undetermined"
        ),
        headline=headline,
        tone=tone,
        key_figures=tuple(figures),
        tables=tuple(tables),
        plots=tuple(plots),
        warnings=(*data.warnings, *summary.warnings, *ctx.warnings),
        protocol=f"Cheap picks of equal size were drawn {params.seeds} times. "
        + ("" if learnt is None else learnt.protocol),
        lead="errors",
    )


def estimates_kept(train: BanditLog, summary: RoundsSummary, params: EvaluateParams, ctx: Context) -> list[Kept]:
    """Estimates on all training rounds, on the summary, and on cheap picks of the same number of rounds."""
    names = {**train.targets, "uniform": policies.uniform(train.n, train.n_actions)}
    ours = {**summary.log.targets, "uniform": policies.uniform(summary.log.n, train.n_actions)}
    picks = _cheap_picks(train, summary.log.n, params.seeds, ctx)
    found = []
    for number_, (name, target) in enumerate(names.items()):
        ctx.progress(number_, len(names), phase="estimates")
        weight = target.at(train.action) / train.propensity
        everything = snips(Terms(train.reward, weight, rounds=train.weight))
        errors = {
            label: float(np.mean([abs(_snips_of(train, weight, pick) - everything.value) for pick in drawn]))
            for label, drawn in picks.items()
        }
        if name in ours:
            found.append(Kept(name, intervals.normal(everything, params.alpha), _own(summary.log, ours[name]), errors))
    return found


def _own(log: BanditLog, target: Policy) -> float:
    return snips(Terms(log.reward, target.at(log.action) / log.propensity, rounds=log.weight)).value


def _snips_of(train: BanditLog, weight: np.ndarray, pick: coresets.Pick) -> float:
    rounds, omega = pick
    count = omega * train.round_weight[rounds]
    part = PerRound(np.zeros(len(rounds)), weight[rounds] * train.reward[rounds], weight[rounds], rounds=count)
    return part.value


def _cheap_picks(train: BanditLog, m: int, seeds: int, ctx: Context) -> dict[str, list[coresets.Pick]]:
    m = min(m, train.n)
    rng = np.random.default_rng([ctx.seed, 1])
    return {
        "random rounds": [coresets.uniform_rounds(train.n, m, rng) for _ in range(seeds)],
        "rounds by action": [coresets.stratified_rounds(train.action, m, rng) for _ in range(seeds)],
        "top rewards": [coresets.top_reward_rounds(train.reward, m, rng) for _ in range(seeds)],
    }


def _verdict(
    kept: list[Kept], learnt: Learnt | None, train: BanditLog, summary: RoundsSummary
) -> tuple[str, Tone, str, str]:
    of = f"{number(summary.log.n)} of {number(train.n)} rounds ({share(summary.log.n / train.n)})"
    ours = float(np.mean([one.error for one in kept]))
    cheap = float(np.mean([one.errors["random rounds"] for one in kept]))
    said = (
        f"Estimates of {len(kept)} policies on {of} differ from those on all rounds by {number(ours, 4)} on average; "
        f"random rounds of the same number by {number(cheap, 4)}."
    )
    nearer = ours < cheap
    if learnt is None:
        status = "cheap_would_do" if not nearer else "short"
        return status, "even", f"Errs by {number(ours, 4)}, random rounds by {number(cheap, 4)}", said
    status = "cheap_would_do" if learnt.status == "equivalent" and learnt.random_is_equivalent else learnt.status
    tone: Tone = "good" if status == "equivalent" else "even" if status == "cheap_would_do" else "open"
    return status, tone, learnt.headline, f"{learnt.sentence} {said}"


def _same_actions(train: BanditLog, log: BanditLog) -> None:
    if train.n_actions != log.n_actions or train.contexts.shape[1] != log.contexts.shape[1]:
        raise JobError(
            "invalid_input",
            f"The summary has {log.n_actions} actions and {log.contexts.shape[1]} context features, the dataset "
            f"{train.n_actions} and {train.contexts.shape[1]}.",
            hint="Judge a summary against the dataset it was made of.",
            pointer="/inputs/summary",
        )


def _estimates_table(kept: list[Kept]) -> Table:
    rows: list[dict[str, Cell]] = [
        {
            "target": one.target,
            "full": one.full.value,
            "low": one.full.low,
            "high": one.full.high,
            "summary": one.summary,
            "error": one.error,
            **{label: error for label, error in one.errors.items()},
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


def _errors_plot(kept: list[Kept]) -> Plot:
    names = tuple(one.target for one in kept)
    series = [Series("this summary", names, tuple(one.error for one in kept))]
    series += [Series(label, names, tuple(one.errors[label] for one in kept)) for label in kept[0].errors]
    return Plot(
        "errors",
        "How far estimates move when only the kept rounds are used",
        "Absolute difference to the estimate on all training rounds, by target policy and pick.",
        "bar",
        "",
        "reward a round",
        tuple(series),
    )
