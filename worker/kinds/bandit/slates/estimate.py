"""One target on a log of slates, by every estimator that its propensities allow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit.policies import Floats, Policy
from worker.kinds.bandit.slates.params import Behaviour, SlateEstimateParams
from worker.kinds.bandit.slates.weights import SlateWeights, weights_of
from worker.kinds.bandit.stepwise import importance
from worker.kinds.bandit.stepwise.fitted_q import fitted_q
from worker.kinds.bandit.stepwise.gain import Weighted
from worker.kinds.bandit.stepwise.target import Row, Setting, TargetResult, Weights, supported
from worker.kinds.bandit.structures.slates import SlateLog

ASSUMES: dict[Behaviour, str] = {
    "any": "nothing is assumed of users",
    "cascade": "rewards depend on nothing below their position",
    "independent": "rewards depend on their own item alone",
}
SUPPOSES: dict[Behaviour, str] = {
    "any": "The verdict supposes nothing of users.",
    "cascade": f"The verdict supposes that {ASSUMES['cascade']}.",
    "independent": f"The verdict supposes that {ASSUMES['independent']}.",
}
NAMES: dict[Behaviour, tuple[str, str]] = {
    "any": ("sips", "SIPS"),
    "cascade": ("rips", "RIPS"),
    "independent": ("iips", "IIPS"),
}
SURE = 4.0  # standard errors by which an assumption is contradicted


def estimate_target(
    data: SlateLog,
    name: str,
    chance: Floats,
    policy: Policy | None,
    params: SlateEstimateParams,
    setting: Setting,
    ctx: Context,
) -> TargetResult:
    """Values under every assumption, and the gain under the one that the job makes."""
    reward = data.layout.spread(data.log.reward)
    weights = weights_of(data, chance)
    by = {"any": weights.slate, "cascade": weights.prefix, "independent": weights.item}
    if by[params.behaviour] is None:
        raise _not_given(data, params.behaviour)
    rows: list[Row] = []
    for behaviour, weight in by.items():
        if weight is not None:
            short, label = NAMES[behaviour]
            normal = setting.row(f"sn{short}", f"SN{label}", importance.self_normalised(weight, reward), weight)
            plain = setting.row(short, label, importance.plain(weight, reward), weight)
            both = [_noted(row, behaviour) for row in (normal, plain)]
            rows = both + rows if behaviour == params.behaviour else rows + both
    left_out: dict[str, str] = {}
    paired = None
    if policy is None or weights.prefix is None or params.q_model == "none":
        left_out["Cascade-DR"] = _why_no_model(policy, weights, params)
    else:
        q = fitted_q(data.log, data.layout, policy, params.q_model, params.folds, above=True, ctx=ctx)
        robust = importance.doubly_robust(weights.prefix, reward, q.logged, q.expected)
        paired = robust.influence - reward.sum(axis=1)
        rows.append(_noted(setting.row("cascade_dr", "Cascade-DR", robust, weights.prefix), "cascade"))
    chosen = by[params.behaviour]
    assert chosen is not None  # noqa: S101 - refused above
    safe = supported(data.log, policy)
    given = _weighted(data, params.behaviour, chosen, reward, setting, safe)
    if params.behaviour == "cascade":
        given = replace(given, robust=paired)
    seen = Weights.of(given.weight, setting.unit)
    doubts = setting.doubts(seen, "position")
    return TargetResult(
        name,
        tuple(rows),
        setting.gain(given),
        seen,
        setting.trust,
        doubts=doubts + _contradicted(weights, params.behaviour, reward, setting),
        basis="" if params.behaviour == "any" else f"where {ASSUMES[params.behaviour]}",
        leans=_leaning(data, params.behaviour, by, reward, setting, safe),
        deterministic=bool(np.all(data.log.propensity >= 1)),
        left_out=left_out,
        details={"behaviour": params.behaviour},
    )


def _noted(row: Row, behaviour: Behaviour) -> Row:
    return replace(row, note=ASSUMES[behaviour])


def _weighted(
    data: SlateLog, behaviour: Behaviour, weight: Floats, reward: Floats, setting: Setting, safe: bool
) -> Weighted:
    steps = Weighted.of(weight, reward, data.layout.present, setting.limits, supported=safe)
    # Every slate has a top position, where the weight of the whole slate stands too.
    return steps.as_one(weight[:, 0]) if behaviour == "any" else steps


def _contradicted(weights: SlateWeights, behaviour: Behaviour, reward: Floats, setting: Setting) -> tuple[str, ...]:
    """Whether fewer assumptions give another value, beyond what chance explains."""
    weaker = {"any": (), "cascade": (("SIPS", weights.slate),), "independent": (("RIPS", weights.prefix),)}[behaviour]
    own = weights.prefix if behaviour == "cascade" else weights.item
    found: list[str] = []
    for label, weight in weaker:
        if weight is not None and own is not None:
            apart = importance.plain(own - weight, reward)
            row = setting.row("", "", apart)
            if row.se > 0 and abs(row.value) > SURE * row.se:
                found.append(f"{label}, which assumes less, gives another value: not all {ASSUMES[behaviour]}")
    return tuple(found)


def _leaning(
    data: SlateLog,
    behaviour: Behaviour,
    by: dict[Behaviour, Floats | None],
    reward: Floats,
    setting: Setting,
    safe: bool,
) -> str:
    """What would hold if users looked from the top down, for who asks without assuming anything."""
    weight = by["cascade"]
    if behaviour != "any" or weight is None:
        return ""
    gain = setting.gain(_weighted(data, "cascade", weight, reward, setting, safe))
    if gain.open or gain.few or gain.low <= 0 <= gain.high:
        return ""
    way = "better" if gain.low > 0 else "worse"
    return f"where {ASSUMES['cascade']} its interval would be {way} throughout (behaviour=cascade says that they do)"


def _why_no_model(policy: Policy | None, weights: SlateWeights, params: SlateEstimateParams) -> str:
    if params.q_model == "none":
        return "no model was asked for"
    if weights.prefix is None:
        return "its weights need the probability of all items down to a position"
    assert policy is None  # noqa: S101
    return "it needs the target's probability of every item, as target_policies/NAME.npz"


def _not_given(data: SlateLog, behaviour: Behaviour) -> JobError:
    given = {"slate": "any", "marginal": "independent"}.get(data.propensity_of, "any or cascade")
    return JobError(
        "invalid_params",
        f"The propensities are those of propensity_of={data.propensity_of}, which give no weights for "
        f"behaviour={behaviour}.",
        hint=f"Choose behaviour {given}, or upload the log with propensity_of=item_alone if every item's propensity is "
        "known and positions are filled independently.",
        pointer="/params/behaviour",
    )
