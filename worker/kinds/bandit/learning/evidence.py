"""What a learnt policy is worth: judged on held-out rounds beside the policies anyone could have had without learning.

Anchors: what the logging policy earned, the uniform policy, and the single action that did best on the training rounds.
The verdict is the one of every estimate (`estimation.verdict`): better, worse, or the logs cannot tell.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from worker.evidence.findings import Findings, KeyFigure
from worker.evidence.measurements import Plot, Series
from worker.evidence.table import Column, Table
from worker.evidence.wording import number, share
from worker.kinds.bandit.convolution.tree import tree
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimation import tables, verdict
from worker.kinds.bandit.estimation.estimate import (
    Estimated,
    TargetEstimate,
    earned,
    estimate_target,
    floored_difference,
)
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.estimation.prepare import Prepared
from worker.kinds.bandit.estimation.wording import with_interval
from worker.kinds.bandit.evaluate_params import EvaluateParams
from worker.kinds.bandit.learning import per_action
from worker.kinds.bandit.learning.parts import parts
from worker.kinds.bandit.learning.policy_artefact import LearntPolicy
from worker.kinds.bandit.policies import Policy, epsilon_greedy, uniform
from worker.kinds.bandit.reward_models import none, ridge
from worker.kinds.bandit.reward_models.crossfit import Fit, crossfit
from worker.contract.context import Context

FOLDS = 3
LEARNT, UNIFORM, CONSTANT = "Learnt policy", "Uniform policy", "Best single action"
FOOTNOTE = (
    "Estimated from held-out logged rounds, not from an experiment. Everything about the policy was chosen on other "
    "rounds. Square brackets are intervals."
)


def judge_policy(log: BanditLog, learnt: LearntPolicy, params: EvaluateParams, ctx: Context) -> Findings:
    """Estimate the learnt policy and the anchors on the test rounds, all by the same estimator."""
    rounds = parts(log, int(learnt.settings.get("seed", 0)))
    held = log.take(rounds.test)
    targets = {
        LEARNT: learnt.policy_on(held),
        UNIFORM: uniform(held.n, log.n_actions),
        CONSTANT: _constant(held, best_action(log.take(rounds.train))),
    }
    with ctx.share(0, 2, phase="reward model"):
        prepared = _prepared(held, targets, params, ctx)
    found = []
    with ctx.share(1, 2, phase="estimate"):
        for step, (name, target) in enumerate(targets.items()):
            with ctx.share(step, len(targets), phase="estimate"):
                found.append(_estimated(prepared, name, target, params, ctx))
    return _findings(prepared, found, learnt, params, ctx)


def best_action(train: BanditLog) -> int:
    """The action of the largest IPS value on training rounds, rewards counted from the lowest.

    Counted so, an action that was seldom possible is undervalued and never overvalued.
    """
    lowest = float(train.reward.min()) if train.reward_range is None else train.reward_range[0]
    gains = train.round_weight * (train.reward - lowest) / train.propensity
    return int(np.argmax(np.bincount(train.action, gains, train.n_actions)))


def _constant(log: BanditLog, action: int) -> Policy:
    return epsilon_greedy(np.array([action]), log.n_actions, 0.0, np.zeros(log.n, np.int32))


def _prepared(log: BanditLog, targets: dict[str, Policy], params: EvaluateParams, ctx: Context) -> Prepared:
    """Nothing is smoothed: the question is what these very policies earn."""
    modelled = params.estimator != "snips"
    name = "none" if not modelled else "per action" if per_action.fits_in_memory(log) else "ridge"
    fit: Fit = {"none": none.fit, "per action": per_action.fit, "ridge": ridge.fit}[name]
    reward = crossfit(log, fit, targets, FOLDS if modelled else 1, ctx.seed, ctx)
    identity = None if log.logging is None else tree(hierarchy=np.zeros((1, log.n_actions), np.int32))
    binary = bool(np.all((log.reward == 0) | (log.reward == 1)))
    return Prepared(
        log=log,
        path=identity,
        smooths=False,
        family="none",
        labels=None,
        model=name,
        reward=reward,
        judge=None,
        reward_range=log.reward_range or ((0.0, 1.0) if binary else None),
    )


def _estimated(prepared: Prepared, name: str, target: Policy, params: EvaluateParams, ctx: Context) -> TargetEstimate:
    names: Any = dict.fromkeys(("snips", params.estimator, "ips"))
    options = EstimateParams(estimators=list(names), alpha=params.alpha)
    found = estimate_target(prepared, name, target, options, ctx)
    headline = next(row for row in found.rows if row.name == params.estimator)
    difference = floored_difference(headline, earned(prepared), prepared, params.alpha)
    return replace(found, headline=headline, over_logging=difference)


def _findings(
    prepared: Prepared, found: list[TargetEstimate], learnt: LearntPolicy, params: EvaluateParams, ctx: Context
) -> Findings:
    logging, mine = earned(prepared), found[0]
    judged = verdict.judge(mine, logging)
    return Findings(
        kind="bandit",
        unit="round",
        units="rounds",
        test_units="rounds",
        n_test=prepared.log.n,
        verdict=verdict.to_json([judged], [mine], logging),
        status=verdict.LABELS[judged.status],
        headline=verdict.headline([judged], [mine]),
        tone=verdict.TONES[judged.status],
        because=_because(learnt, mine),
        key_figures=_key_figures(mine, logging),
        tables=tuple(t for t in _tables(found, logging, learnt) if t.rows),
        plots=tuple(p for p in (_beside(found, logging, prepared.log.n), _over_k(learnt)) if p.series),
        warnings=tuple(dict.fromkeys([*learnt.warnings, *ctx.warnings, *mine.diagnostics.warnings])),
        protocol=_protocol(learnt, params),
        lead="policies",
        metric={"name": "value", "label": "reward a round", "unit": "reward", "scale": 1.0, "higher_is_better": True},
        footnote=FOOTNOTE,
    )


def _because(learnt: LearntPolicy, mine: TargetEstimate) -> str:
    said = f"Its mean importance weight is {mine.diagnostics.mean_weight:.3f} (1 where everything it does was tried)"
    if mine.deficiency.known:
        said += f"; {share(mine.deficiency.mean)} of its decisions were never possible in the log"
    k, tried = learnt.settings.get("k"), learnt.settings.get("tried", [])
    how = "was given" if len(tried) < 2 else f"was chosen by {learnt.settings.get('selector')}"
    chosen = "" if k is None else f"; k = {k:g} {how}"
    return f"{said}{chosen}."


def _key_figures(mine: TargetEstimate, logging: Estimated) -> tuple[KeyFigure, ...]:
    def figure(label: str, one: Estimated) -> KeyFigure:
        value, _, ends = with_interval(one.interval.value, one.interval.low, one.interval.high).partition(" ")
        return KeyFigure(label, value, ends)

    worth = mine.diagnostics.policy_ess
    figures = [figure("a round with the learnt policy", mine.headline), figure("a round as logged", logging)]
    if worth is not None:
        figures.append(KeyFigure("policy ESS", number(worth, 1), f"of {number(mine.diagnostics.n)} held-out rounds"))
    if mine.deficiency.known:
        figures.append(KeyFigure("of its decisions never possible in the log", share(mine.deficiency.mean)))
    return tuple(figures)


def _protocol(learnt: LearntPolicy, params: EvaluateParams) -> str:
    s = learnt.settings
    rounds, tried = s.get("rounds", {}), len(s.get("tried", []))
    others = number(rounds.get("validation", 0))
    chosen = f", chosen among {tried} by {s.get('selector')} on {others} others" if tried > 1 else ""
    return (
        f"Trained on {number(rounds.get('train', 0))} rounds to maximise {s.get('objective')} (support: "
        f"{str(s.get('support')).replace('_', ' ')}){chosen}, judged by {params.estimator.upper()} on held-out ones. "
        "The best single action was found on the training rounds."
    )


def _tables(found: list[TargetEstimate], logging: Estimated, learnt: LearntPolicy) -> tuple[Table, ...]:
    return policies(found, logging), tried(learnt), tables.support(found), tables.weights(found)


def policies(found: list[TargetEstimate], logging: Estimated) -> Table:
    """The learnt policy and the anchors: value, difference to the log, mean weight, unsupported mass."""
    rows: list[dict[str, Any]] = []
    for one in found:
        span, over = one.headline.interval, one.over_logging
        rows.append(
            {
                "policy": one.name,
                "value": span.value,
                "low": span.low,
                "high": span.high,
                "over": over.value,
                "over_low": over.low,
                "over_high": over.high,
                "weight": one.diagnostics.mean_weight,
                "unsupported": 100 * one.deficiency.mean if one.deficiency.known else None,
                "pess": one.diagnostics.policy_ess,
            }
        )
    own = logging.interval
    rows.append({"policy": "Logging policy", "value": own.value, "low": own.low, "high": own.high, "weight": 1.0})
    return Table(
        "policies",
        "The learnt policy and what could be had without learning",
        (
            Column("policy", "Policy", "text"),
            Column("value", "Value", unit="reward a round", decimals=4, interval=("low", "high")),
            Column("low", "Low", shown=False),
            Column("high", "High", shown=False),
            Column("over", "Over the log", unit="reward a round", decimals=4, interval=("over_low", "over_high")),
            Column("over_low", "Over, low", shown=False),
            Column("over_high", "Over, high", shown=False),
            Column("weight", "Mean weight", decimals=3),
            Column("unsupported", "Never possible", unit="% of decisions", decimals=2),
            Column("pess", "Policy ESS", unit="rounds", decimals=1),
        ),
        tuple(rows),
        note="A mean weight below 1 and decisions never possible in the log say the same: the value leaves them out or "
        "assumes them like the rest.",
        heading="Policies",
        highlight=(0,),
    )


def tried(learnt: LearntPolicy) -> Table:
    """Every policy that was trained, with the scores it was chosen by."""
    rows: list[dict[str, Any]] = [
        {
            "name": row["name"],
            "minsup": row.get("minsup"),
            "snips": row.get("snips"),
            "dr": row.get("dr"),
            "weight": row["mean_weight"],
            "unsupported": None if row["unsupported_mass"] is None else 100 * row["unsupported_mass"],
            "chosen": "chosen" if row["name"] == learnt.settings["chosen"] else "",
        }
        for row in learnt.settings.get("tried", [])
    ]
    return Table(
        "tried",
        "What was trained and how it was chosen",
        (
            Column("name", "Training", "text"),
            Column("minsup", "MinSup", unit="reward a round", decimals=4),
            Column("snips", "SNIPS", unit="reward a round", decimals=4),
            Column("dr", "DR", unit="reward a round", decimals=4),
            Column("weight", "Mean weight", decimals=3),
            Column("unsupported", "Never possible", unit="% of decisions", decimals=2),
            Column("chosen", "", "text"),
        ),
        tuple(rows),
        note="On validation rounds. MinSup counts every unsupported action like the rarest supported ones; SNIPS does "
        "not see them at all, so it may favour a policy that fled there.",
        heading="Choice",
    )


def _beside(found: list[TargetEstimate], logging: Estimated, n: int) -> Plot:
    spans = [one.headline.interval for one in found]
    names = tuple(one.name for one in found)
    said = "; ".join(f"{name}: {span.value:.4g}" for name, span in zip(names, spans, strict=True))
    ends = tuple(s.low for s in spans), tuple(s.high for s in spans)
    return Plot(
        "policies",
        "The learnt policy beside its anchors",
        f"Reward a round with intervals; the line marks what the logging policy earned. {said}.",
        "interval",
        "reward a round",
        "",
        (Series("value", names, tuple(s.value for s in spans), *ends, stress=(LEARNT,)),),
        mark_x=logging.estimate.value,
        n=n,
    )


def _over_k(learnt: LearntPolicy) -> Plot:
    """Unsupported mass and the deciding score against k: where policies begin to flee."""
    rows = {row["k"]: row for row in reversed(learnt.settings.get("tried", []))}
    selector = learnt.settings.get("selector", "")
    drawn = [rows[k] for k in sorted(rows) if rows[k].get(selector) is not None]
    series: tuple[Series, ...] = ()
    if len(drawn) > 1:
        ks = tuple(float(row["k"]) for row in drawn)
        missing = tuple(
            1.0 - row["mean_weight"] if row["unsupported_mass"] is None else row["unsupported_mass"] for row in drawn
        )
        series = Series(f"score ({selector})", ks, tuple(row[selector] for row in drawn)), Series("mass", ks, missing)
    return Plot(
        "k",
        "What the reward of an unsupported action does",
        "Selection score and mass on unsupported actions on validation rounds against the constant k of training.",
        "line",
        "k",
        "score, mass",
        series,
    )
