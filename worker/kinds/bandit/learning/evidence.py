"""From estimates of a learnt policy and its anchors to findings: verdict, tables, plots.

The verdict is the one of every estimate (`estimation.verdict`): better, worse, or the logs cannot tell.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from worker.evidence.findings import Findings, KeyFigure
from worker.evidence.looks import OWN
from worker.evidence.plot import Plot, Series
from worker.evidence.table import Column, Table
from worker.evidence.wording import number, share
from worker.kinds.bandit.estimation import tables, verdict
from worker.kinds.bandit.estimation.estimate import Estimated, TargetEstimate, earned
from worker.kinds.bandit.estimation.prepare import Prepared
from worker.kinds.bandit.estimation.wording import with_ends
from worker.kinds.bandit.learning.softmax_policy import SoftmaxPolicy

LEARNT, UNIFORM, CONSTANT = "Learnt policy", "Uniform policy", "Best single action"
FOOTNOTE = (
    "Estimated from held-out logged rounds, not from an experiment. Everything about the policy was chosen on other "
    "rounds. Square brackets are intervals."
)


def findings(
    prepared: Prepared,
    found: list[TargetEstimate],
    learnt: SoftmaxPolicy,
    *,
    estimator: str,
    alpha: float,
    warnings: list[str],
    unfinished: str = "",
) -> Findings:
    """What the report lays out; `found`: the learnt policy first, then the anchors that were estimated."""
    logging, mine = earned(prepared, alpha), found[0]
    named = replace(mine, name="The learnt policy")
    judged, headline = verdict.of_targets([named], logging)
    return Findings(
        kind="bandit",
        unit="round",
        units="rounds",
        test_units="rounds",
        n_test=prepared.log.n,
        verdict=judged,
        headline=headline,
        because=_because(learnt, mine),
        key_figures=_key_figures(mine, logging),
        tables=tuple(t for t in (tables.decisions([named], judged), *_tables(found, logging, learnt)) if t.rows),
        plots=tuple(p for p in (_beside(found, logging, prepared.log.n), _over_k(learnt)) if p.series),
        warnings=tuple(dict.fromkeys([*learnt.warnings, *warnings, *mine.diagnostics.warnings])),
        protocol=_protocol(learnt, estimator),
        lead="policies",
        families={LEARNT: OWN},
        unfinished=unfinished,
        metric={"name": "value", "label": "reward a round", "unit": "reward", "scale": 1.0, "higher_is_better": True},
        footnote=FOOTNOTE,
    )


def _because(learnt: SoftmaxPolicy, mine: TargetEstimate) -> str:
    said = f"Its mean importance weight is {mine.diagnostics.mean_weight:.3f} (1 where everything it does was tried)"
    if mine.deficiency.known:
        said += f"; {share(mine.deficiency.mean)} of its decisions were never possible in the log"
    k = learnt.origin.settings.get("k")
    how = "was given" if len(learnt.choice.tried) < 2 else f"was chosen by {learnt.choice.selector}"
    chosen = "" if k is None else f"; k = {k:g} {how}"
    return f"{said}{chosen}."


def _key_figures(mine: TargetEstimate, logging: Estimated) -> tuple[KeyFigure, ...]:
    def figure(label: str, one: Estimated) -> KeyFigure:
        value, ends = with_ends(one.interval), ""
        if one.interval.method != "bounds":
            value, _, ends = value.partition(" ")
        return KeyFigure(label, value, ends)

    worth = mine.diagnostics.policy_ess
    figures = [figure("a round with the learnt policy", mine.headline), figure("a round as logged", logging)]
    if worth is not None:
        figures.append(KeyFigure("policy ESS", number(worth, 1), f"of {number(mine.diagnostics.n)} held-out rounds"))
    if mine.deficiency.known:
        figures.append(KeyFigure("of its decisions never possible in the log", share(mine.deficiency.mean)))
    return tuple(figures)


def _protocol(learnt: SoftmaxPolicy, estimator: str) -> str:
    choice, settings = learnt.choice, learnt.origin.settings
    others, tried = number(choice.validation_rounds), len(choice.tried)
    chosen = f", chosen among {tried} by {choice.selector} on {others} others" if tried > 1 else ""
    return (
        f"Trained on {number(choice.train_rounds)} rounds to maximise {settings['objective']} (support: "
        f"{settings['support'].replace('_', ' ')}){chosen}, judged by {estimator.upper()} on held-out ones. "
        "The best single action was found on the training rounds."
    )


def _tables(found: list[TargetEstimate], logging: Estimated, learnt: SoftmaxPolicy) -> tuple[Table, ...]:
    return policies(found, logging), tried(learnt), tables.support(found), tables.weights(found)


def policies(found: list[TargetEstimate], logging: Estimated) -> Table:
    """The learnt policy and the anchors: value, difference to the log, mean weight, unsupported mass."""
    rows: list[dict[str, Any]] = []
    for one in found:
        span, over = one.headline.interval, one.over_logging
        rows.append(
            {
                "policy": one.name,
                "value": None if span.method == "bounds" else span.value,
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


def tried(learnt: SoftmaxPolicy) -> Table:
    """Every policy that was trained, with the scores it was chosen by."""
    rows: list[dict[str, Any]] = [
        {
            "name": one.name,
            "minsup": one.scores.get("minsup"),
            "snips": one.scores.get("snips"),
            "dr": one.scores.get("dr"),
            "weight": one.mean_weight,
            "unsupported": None if one.unsupported is None else 100 * one.unsupported,
            "chosen": "chosen" if one.name == learnt.choice.chosen else "",
        }
        for one in learnt.choice.tried
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
        "not see them at all, so it may favour a policy that moved its mass there. Scores have no intervals: small "
        "differences between them may be noise.",
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
        mark_label="logging policy",
        n=n,
    )


def _over_k(learnt: SoftmaxPolicy) -> Plot:
    """Unsupported mass against k: where policies begin to prefer what was never tried.

    Selection scores are not drawn: they have no interval, and their differences may be noise.
    """
    by_k = {one.k: one for one in reversed(learnt.choice.tried)}
    drawn = [one for _, one in sorted(by_k.items())]
    mass = tuple(1.0 - one.mean_weight if one.unsupported is None else one.unsupported for one in drawn)
    series = (Series("mass", tuple(float(one.k) for one in drawn), mass),) if len(drawn) > 1 and any(mass) else ()
    chosen = next((float(one.k) for one in drawn if one.name == learnt.choice.chosen), None)
    return Plot(
        "k",
        "Decisions that go to unsupported actions, by the reward k that training gives to them",
        "Mass on unsupported actions on validation rounds against the constant k of training; the dashed line marks "
        "the chosen k.",
        "line",
        "k",
        "mass on unsupported actions",
        series,
        mark_x=chosen,
        mark_label="chosen",
    )
