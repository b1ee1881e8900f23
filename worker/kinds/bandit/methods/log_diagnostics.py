"""Can these logs tell what a policy would earn? Diagnostics of the log alone, and of every target policy on it.

The checks are those every estimate carries (`worker.kinds.bandit.diagnostics`), without any estimate: mean weight,
effective sample sizes, tails, support, and what the propensities say about the logging policy.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from worker.contract.context import Context
from worker.contract.method import method
from worker.evidence.findings import Findings, KeyFigure
from worker.evidence.table import Cell, Column, Table
from worker.evidence.verdict import Status, Verdict
from worker.evidence.wording import number
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.diagnostics import LoggingCheck
from worker.kinds.bandit.estimation import plots, tables
from worker.kinds.bandit.estimation.estimate import TargetEstimate, estimate_target
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.estimation.prepare import prepare
from worker.kinds.bandit.structures import Log, decisions
from worker.kinds.bandit.targets import (
    LEARNT,
    POLICY,
    TARGETS,
    default_names,
    learnt_policy,
    named_targets,
    with_uploaded,
)

_HEADLINES: dict[Status, str] = {
    "sound": "The logs can answer",
    "thin": "The logs allow rough estimates only",
    "blind": "The logs cannot answer",
    "doubtful": "The propensities look wrong",
}
_OF_LIGHT: dict[str, Status] = {"green": "sound", "yellow": "thin", "orange": "thin", "red": "blind"}
_WORST_FIRST: tuple[Status, ...] = ("doubtful", "blind", "thin", "sound")


class LogDiagnosticsParams(BaseModel):
    """Parameters of `log-diagnostics`."""

    model_config = ConfigDict(extra="forbid")

    targets: list[str] = Field(
        [],
        max_length=20,
        description="Policies to check against: uploaded names, `uniform`, `learnt`. Empty: every uploaded one.",
    )


@method(kind="bandit", task="audit", name="log-diagnostics", version=1, inputs=(POLICY, TARGETS), memory_mb=2048)
def log_diagnostics(data: Log, params: LogDiagnosticsParams, ctx: Context) -> Findings:
    """Whether the logs can tell what target policies would earn, before anyone estimates it."""
    data, learnt = with_uploaded(decisions(data), ctx), learnt_policy(ctx)
    names = params.targets or default_names(data, learnt) or ["uniform"]
    targets = named_targets(data, names, learnt if LEARNT in names else None)
    options = EstimateParams(reward_model="none", estimators=["snips"], selection="k5")
    prepared = prepare(replace(data, guardrails={}, segments={}), targets, options, ctx)
    found: list[TargetEstimate] = []
    for step, (name, target) in enumerate(targets.items()):
        with ctx.part(name, step, len(targets), label="diagnose", seed=ctx.seed) as part:
            found.append(estimate_target(prepared, name, target, options, part))
    check = found[0].diagnostics.logging
    verdict = _verdict(found, [_status(one, check) for one in found])
    warnings = [f"{one.name}: {text}" for one in found for text in one.diagnostics.warnings]
    return Findings(
        kind="bandit",
        unit="round",
        units="rounds",
        test_units="rounds",
        n_test=data.n,
        verdict=verdict,
        headline=_HEADLINES[verdict.status],
        key_figures=_key_figures(data, check),
        tables=(tables.weights(found), tables.support(found), _logging(data, check), _actions(data)),
        plots=tuple(p for p in (plots.sizes(found, data.n), plots.weight_histogram(found, data.n)) if p.series),
        warnings=tuple(dict.fromkeys([*data.warnings, *ctx.warnings, *warnings])),
        lead="ess",
        families=plots.families(found),
        footnote="Diagnostics of the logs; nothing here estimates a value.",
    )  # fmt: skip


def _verdict(found: list[TargetEstimate], statuses: list[Status]) -> Verdict:
    """As bad as the worst target's; its value is the least that the log is worth for any."""
    return Verdict(
        min(statuses, key=_WORST_FIRST.index),
        " ".join(_sentence(one, status) for one, status in zip(found, statuses, strict=True)),
        value=min(_worth(one) for one in found),
        unit="rounds",
        details={
            "targets": [
                {
                    "name": one.name,
                    "status": status,
                    "reliability": one.reliability,
                    "policy_ess": one.diagnostics.policy_ess,
                    "ess": one.diagnostics.ess,
                }
                for one, status in zip(found, statuses, strict=True)
            ]
        },
    )


def _worth(one: TargetEstimate) -> float:
    """Policy ESS of a target, the sample's where the logging policy is not known."""
    return one.diagnostics.ess if one.diagnostics.policy_ess is None else one.diagnostics.policy_ess


def _status(one: TargetEstimate, check: LoggingCheck) -> Status:
    if check.above_catalogue or (not one.diagnostics.mean_weight_ok and one.deficiency.mean < 0.01):
        return "doubtful"
    return _OF_LIGHT[one.reliability]


def _sentence(one: TargetEstimate, status: Status) -> str:
    d = one.diagnostics
    worth = f"{number(_worth(one), 1)} rounds of its own"
    words: dict[Status, str] = {
        "sound": f"For {one.name} the log is worth {worth}: estimates can be trusted.",
        "thin": f"For {one.name} the log is worth {worth}: estimates need wide intervals.",
        "blind": f"For {one.name} the log is worth {worth}: no estimate would be reliable.",
        "doubtful": f"For {one.name} the mean weight is {number(d.mean_weight, 3)} where 1 is expected: check the "
        "propensities before anything else.",
    }
    return words[status]


def _key_figures(log: BanditLog, check: LoggingCheck) -> tuple[KeyFigure, ...]:
    logged = len(np.unique(log.action))
    return (
        KeyFigure("rounds", number(log.n)),
        KeyFigure("actions logged", number(logged), f"of {number(log.n_actions)}"),
        KeyFigure("mean reward", number(float(np.average(log.reward, weights=log.weight)), 4)),
        KeyFigure("actions the log chooses from", number(check.robust, 1), "mean of 1/propensity"),
    )


def _logging(log: BanditLog, check: LoggingCheck) -> Table:
    row: dict[str, Cell] = {
        "mean": check.supported_actions,
        "robust": check.robust,
        "largest": 100 * check.largest_share,
        "least": check.smallest_propensity,
        "known": "the whole policy" if log.logging is not None else "propensities of logged actions only",
    }
    return Table(
        "logging",
        "What the propensities say of the logging policy",
        (
            Column("mean", "Mean of 1/propensity", unit="actions", decimals=2),
            Column("robust", "The same, capped", unit="actions", decimals=2),
            Column("largest", "Held by one round", unit="% of the sum", decimals=1),
            Column("least", "Smallest propensity", decimals=6),
            Column("known", "Known", "text"),
        ),
        (row,),
        note="Under right propensities the mean is the mean number of actions the logging policy chooses from.",
        heading="Logging policy",
    )


def _actions(log: BanditLog, most: int = 20) -> Table:
    """The most frequent actions with their mean reward."""
    counts = np.bincount(log.action, log.weight, log.n_actions)
    sums = np.bincount(log.action, log.reward * log.round_weight, log.n_actions)
    order = np.argsort(-counts, kind="stable")[:most]
    rows: list[dict[str, Cell]] = [
        {
            "action": str(a if log.action_ids is None else log.action_ids[a]),
            "share": 100 * float(counts[a] / counts.sum()),
            "reward": float(sums[a] / counts[a]) if counts[a] > 0 else None,
            "n": float(counts[a]),
        }
        for a in order
    ]
    return Table(
        "actions",
        f"The {len(rows)} most frequent actions",
        (
            Column("action", "Action", "text"),
            Column("n", "Taken", unit="rounds", decimals=0),
            Column("share", "Share", unit="%", decimals=2),
            Column("reward", "Mean reward", decimals=4),
        ),
        tuple(rows),
        heading="Actions",
        folded=True,
    )
