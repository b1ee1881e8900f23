"""From estimates to findings: verdict, tables, plots and the files that carry every number."""

from __future__ import annotations

import io
import json
import math
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from worker.evidence.findings import Findings, KeyFigure
from worker.evidence.report import plain
from worker.evidence.wording import number, share
from worker.kinds.bandit.estimation import plots, tables, team_tables, verdict
from worker.kinds.bandit.estimation.estimate import Estimated, TargetEstimate, earned
from worker.kinds.bandit.estimation.guardrails import Guarded, statuses
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.estimation.prepare import Prepared
from worker.kinds.bandit.estimation.segments import Column
from worker.kinds.bandit.estimation.wording import with_ends, with_interval
from worker.kinds.bandit.gain.gain import Gain

FOOTNOTE = (
    "Estimated from logs, not from an experiment. Reward models predict only rounds they did not see. Square brackets "
    "are intervals at the level the job asked for."
)


def findings(prepared: Prepared, found: list[TargetEstimate], params: EstimateParams, warnings: list[str]) -> Findings:
    """What the report lays out."""
    logging = earned(prepared, params.alpha)
    judged, headline = verdict.of_targets(found, logging)
    files = {
        "estimates.json": _json(_estimates(prepared, found, params)),
        "diagnostics.json": _json(_diagnostics(found)),
    }
    if params.round_values:
        files["rounds.parquet"] = _rounds(prepared, found)
    return Findings(
        kind="bandit",
        unit="round",
        units="rounds",
        test_units="rounds",
        n_test=prepared.log.n,
        verdict=judged,
        headline=headline,
        because=" ".join([_because(prepared, found), *team_tables.said_of_segments(found[:1], params.alpha)]),
        key_figures=_key_figures(prepared, found, logging),
        tables=tables.all_tables(prepared, found, judged, logging, params.alpha),
        plots=plots.all_plots(prepared, found, logging, params.alpha),
        warnings=(*warnings, *_warnings(found)),
        protocol=_protocol(prepared, params),
        lead="agreement",
        families=plots.families(found),
        metric={"name": "value", "label": "reward a round", "unit": "reward", "scale": 1.0, "higher_is_better": True},
        footnote=FOOTNOTE,
        files=files,
    )


def _because(prepared: Prepared, found: list[TargetEstimate]) -> str:
    chosen = found[0].selected if len(found) == 1 else None
    if chosen is None:
        return f"Estimated on {number(prepared.log.n)} rounds."
    return f"Estimated on {number(prepared.log.n)} rounds by {prepared.family} convolution; the value is {chosen.why}."


def _key_figures(prepared: Prepared, found: list[TargetEstimate], logging: Estimated) -> tuple[KeyFigure, ...]:
    figures = []
    for one in found[:3]:
        span = one.headline.interval
        value, ends = with_ends(span), ""
        if span.method != "bounds":
            value, _, ends = value.partition(" ")
        figures.append(KeyFigure(f"a round with {one.name}", value, ends))
    own = logging.interval
    value, _, ends = with_interval(own.value, own.low, own.high).partition(" ")
    figures.append(KeyFigure("a round as logged", value, ends))
    worth = [one.diagnostics.policy_ess for one in found if one.diagnostics.policy_ess is not None]
    if worth:
        figures.append(
            KeyFigure("policy ESS", number(min(worth), 1), f"of {number(prepared.log.n)} rounds; 5 is little, 100 good")
        )
    missed = max(one.deficiency.mean for one in found)
    if missed > 0 and found[0].deficiency.known:
        figures.append(KeyFigure("of the decisions never possible in the log", share(missed)))
    return tuple(figures)


def _protocol(prepared: Prepared, params: EstimateParams) -> str:
    model = f"The reward model ({_reward_model(prepared)}) is cross-fitted over {prepared.reward.folds} folds."
    if prepared.unit is not None:
        model += " Intervals take users as independent, not their rounds."
    elif params.cluster_by == "round" and prepared.log.user is not None:
        model += " Rounds of a user were taken as independent, as the job asked (cluster_by)."
    if params.gamma is not None:
        model += f" A claim must stand while propensities are off by a factor of {params.gamma:g}, as the job asked."
    elif prepared.log.attested:
        model += " The upload attests that propensities were recorded when the actions were drawn; claims trust that."
    if params.interval == "anytime":
        model += " Gains and verdicts hold at every look; intervals of values are for one look."
    if not prepared.smooths:
        return f"{model} Nothing was smoothed; the value stands for SNIPS."
    rule = {
        "policy_ess": "The amount of smoothing follows from the two policies alone (policy ESS); the value is the "
        "median of PC-SNIPS, PC-SNDR and the value of the whole path, or the last where it is far more certain",
        "k5": "The value is PC-SNIPS at the least smoothing with a policy ESS of 5",
        "fixed": "The amount of smoothing was set by the request",
    }.get(params.selection, f"The amount of smoothing was chosen by {params.selection}, which looks at the rewards")
    return f"{rule}. {model}"


def _reward_model(prepared: Prepared) -> str:
    choice = prepared.choice
    if len(choice.errors) < 2:
        return choice.name
    errors = ", ".join(f"{name} {number(error, 3)}" for name, error in choice.errors.items())
    return f"{choice.name}, of least squared error on rounds left out: {errors}"


def _warnings(found: list[TargetEstimate]) -> list[str]:
    said = []
    for one in found:
        said += [f"{one.name}: {text}" for text in one.diagnostics.warnings]
        if one.diagnostics.quantiles["0.5"] == one.diagnostics.max_weight == 1.0:
            said.append(f"{one.name} acts as the logging policy did: every weight is 1.")
        said += [f"{one.name}: {name} was left out: {why}." for name, why in one.left_out.items()]
        if one.reliability == "orange":
            said.append(f"{one.name}: with a policy ESS between 1 and 5 no selector is safe, and the family matters.")
    return said


def _estimates(prepared: Prepared, found: list[TargetEstimate], params: EstimateParams) -> dict[str, Any]:
    """Every estimator's value, interval and settings, and the whole path."""
    return {
        "n": prepared.log.n,
        "alpha": params.alpha,
        "convolution": prepared.family if prepared.smooths else None,
        "reward_model": prepared.choice.name,
        "reward_model_errors": prepared.choice.errors,
        "propensities_attested": prepared.log.attested,
        "independent": "rounds" if prepared.unit is None else "users",
        "targets": {
            one.name: {
                "reliability": one.reliability,
                "stands_factor": one.trust,
                "selected": None if one.selected is None else _selected(one),
                "estimates": [_estimate(row) for row in (one.headline, *one.rows)],
                "over_logging": _gain(one.over_logging, untested=one.reliability == "red"),
                "left_out": dict(one.left_out),
                "truth": one.truth,
                "positions": [asdict(place) for place in one.positions],
                "guardrails": [_guardrail(guard, state) for guard, state in zip(one.guardrails, states, strict=True)],
                "segments": [_segments(column, params.alpha) for column in one.segments],
                "looks": [] if one.monitored is None else [asdict(look) for look in one.monitored.looks(params.alpha)],
                "restricted": None if one.changed is None else asdict(one.changed),
            }
            for one, states in zip(found, statuses([one.guardrails for one in found], params.alpha), strict=True)
        },
    }


def _gain(gain: Gain, *, untested: bool) -> dict[str, Any]:
    """A gain over the logging policy; what allows no claim carries no p values, and nothing known is null."""
    found = asdict(gain)
    if untested:
        found |= {"p_better": None, "p_worse": None, "margin": None}
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in found.items()}


def _guardrail(one: Guarded, status: str) -> dict[str, Any]:
    about = {"name": one.name, "status": status, "logged": one.logged, "lower_is_better": one.lower_is_better}
    return about | {"doubts": list(one.doubts), "over_logging": _gain(one.gain, untested=bool(one.doubts))}


def _segments(column: Column, alpha: float) -> dict[str, Any]:
    listed = [
        {
            "segment": one.word,
            "rounds": one.rounds,
            "logged": one.logged,
            "status": one.status(alpha),
            "why": one.why,
            "p_holm": one.p,
            "over_logging": None if one.gain is None else _gain(one.gain, untested=bool(one.why)),
        }
        for one in column.segments
    ]
    return {"column": column.name, "differ_p": column.differ, "segments": listed}


def _estimate(row: Estimated) -> dict[str, Any]:
    return {
        "estimator": row.name,
        **asdict(row.interval),
        **({"value": None} if row.interval.method == "bounds" else {}),
        "se": row.estimate.se,
        "policy_ess": row.pess,
        "ess": row.ess,
        "tau": None if row.taus is None else {"target": row.taus[0], "logging": row.taus[1]},
        "setting": None if row.setting is None else {row.setting[0]: row.setting[1]},
    }


def _selected(one: TargetEstimate) -> dict[str, Any]:
    chosen = one.selected
    assert chosen is not None  # noqa: S101 - the caller has looked
    record = chosen.path
    return {
        "rule": chosen.rule,
        "chosen": chosen.chosen,
        "why": chosen.why,
        "parts": chosen.parts,
        "levels": chosen.levels,
        "sd_path": chosen.sd_path,
        "path": {
            "family": record.family,
            "tau_target": list(record.taus),
            "tau_logging": list(record.logging_taus),
            "policy_ess": record.pess.tolist(),
            "estimates": {name: values.tolist() for name, values in record.theta.items()},
            "standard_errors": {name: values.tolist() for name, values in record.se.items()},
            "expected_bias": None if record.bias is None else record.bias.tolist(),
            "width": record.width.tolist(),
        },
    }


def _diagnostics(found: list[TargetEstimate]) -> dict[str, Any]:
    return {
        one.name: {
            **asdict(one.diagnostics),
            "support": {
                "unsupported_mass": one.deficiency.mean,
                "known": one.deficiency.known,
                "never_logged_actions": one.deficiency.never_logged,
                "never_logged_mass": one.deficiency.never_logged_mass,
                "bounds": None if one.bounds is None else [one.bounds.low, one.bounds.high],
            },
        }
        for one in found
    }


def _rounds(prepared: Prepared, found: list[TargetEstimate]) -> bytes:
    """Every round's weight and its value under the selected estimate and each row, one column each."""
    columns: dict[str, Any] = {"round": pa.array(range(prepared.log.n), pa.int64()), "reward": prepared.log.reward}
    for one in found:
        for row in (one.headline, *one.rows):
            columns[f"{one.name}.{row.name}"] = row.estimate.influence
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, compression="zstd")
    return out.getvalue()


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
