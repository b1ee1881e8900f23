"""Guardrails: further rewards of the same rounds, each with a loss that is accepted, and whether a target keeps to it.

Every guardrail has its own paired gain, by the rules of the reward's: what the log cannot speak of counts between its
least and its largest value, users go together, and propensities that disagree with it forbid any claim. It *holds*
where its gain is shown to lie above minus its margin, is *broken* where shown to lie below, and else the log cannot
tell.

Multiplicity. "All guardrails hold" is claimed only where each does by itself: an intersection-union test, whose level
is that of its parts without any correction (Berger 1982). "Broken" is one claim of many, so its p values are Holm's
over all guardrails and targets. A target that is better while its guardrails hold has the largest p value of all the
parts; over several targets these are Holm's again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimation.params import EstimateParams, GuardrailParams
from worker.kinds.bandit.estimation.series import Reward, doubts_about, gain_and_looks, series_of
from worker.kinds.bandit.gain import checks
from worker.kinds.bandit.gain.control import control_of
from worker.kinds.bandit.gain.gain import CLAIM, Gain, Margin
from worker.kinds.bandit.gain.series import Range
from worker.kinds.bandit.intervals import holm
from worker.kinds.bandit.overlap import Overlap, Pairs
from worker.kinds.bandit.policies import Floats, Policy
from worker.kinds.bandit.reward_models import logistic, ridge
from worker.kinds.bandit.reward_models.crossfit import crossfit

Status = Literal["holds", "broken", "cannot_tell", "shown"]
WORDS: dict[Status, str] = {
    "holds": "Holds",
    "broken": "Broken",
    "cannot_tell": "The logs cannot tell",
    "shown": "No margin given",
}


@dataclass(frozen=True)
class Guardrail:
    """A guardrail on the rounds of an estimate. `reward`: higher is better there, so costs have their sign turned."""

    name: str
    asked: GuardrailParams
    reward: Reward


@dataclass(frozen=True)
class Guarded:
    """One guardrail of one target. `logged`: its mean in the log; `gain`: over the logging policy, above zero where the
    target does better, whichever direction that is; `doubts`: what forbids a claim; `trust`: see `TargetEstimate`.
    """

    name: str
    logged: float
    lower_is_better: bool
    gain: Gain
    doubts: tuple[str, ...]
    trust: float

    @property
    def margin(self) -> Margin | None:
        """The tests against its margin, None where it has none."""
        return self.gain.margin

    @property
    def p_holds(self) -> float:
        """Twice the p value of the claim that it holds, so that it compares with two-sided ones; 1 where none is made.

        Uncorrected: see the module.
        """
        allowed = self.margin is not None and not self.doubts and self.margin.within_to >= self.trust
        return min(1.0, 2 * self.margin.p_within) if allowed and self.margin is not None else 1.0

    @property
    def p_broken(self) -> float:
        """The same of the claim that it is broken."""
        allowed = self.margin is not None and not self.doubts and self.margin.beyond_to >= self.trust
        return min(1.0, 2 * self.margin.p_beyond) if allowed and self.margin is not None else 1.0

    def status(self, alpha: float, p_broken: float) -> Status:
        """Its status; `p_broken`: that p value after Holm."""
        if self.margin is None:
            return "shown"
        if self.p_holds < CLAIM * alpha:
            return "holds"
        return "broken" if p_broken < CLAIM * alpha else "cannot_tell"


def guardrails_of(
    log: BanditLog, targets: Mapping[str, Policy], params: EstimateParams, ctx: Context
) -> tuple[Guardrail, ...]:
    """Every uploaded guardrail with its own reward model; raises `JobError` for asked ones that the log lacks."""
    for name in params.guardrails:
        if name not in log.guardrails:
            known = ", ".join(log.guardrails) or "none"
            raise JobError(
                "invalid_params",
                f"The log has no guardrail {name!r}.",
                hint=f"It has: {known}. Name columns of the upload in its option guardrails.",
                pointer=f"/params/guardrails/{name}",
            )
    found: list[Guardrail] = []
    for number, (name, values) in enumerate(log.guardrails.items()):
        asked = params.guardrails.get(name, GuardrailParams.model_validate({}))
        limits = _limits(name, values, asked)
        sign = -1.0 if asked.lower_is_better else 1.0
        if limits is not None and sign < 0:
            limits = -limits[1], -limits[0]
        own = replace(log, reward=sign * values, reward_range=limits, truth=None)
        label = "reward model of a guardrail"
        with ctx.part(name, number, len(log.guardrails), label=label, seed=ctx.seed) as part:
            binary = bool(np.all((own.reward == 0) | (own.reward == 1))) and np.ptp(own.reward) > 0
            model = crossfit(own, logistic.fit if binary else ridge.fit, targets, params.folds, ctx.seed, part)
            control = control_of(own, model, targets, part)
        found.append(Guardrail(name, asked, Reward(own, control, checks.of_log(own, control), limits)))
    return tuple(found)


def guarded(
    found: tuple[Guardrail, ...],
    name: str,
    weight: Floats,
    pairs: Pairs | None,
    overlap: Overlap | None,
    missing: Floats | None,
    params: EstimateParams,
    unit: np.ndarray | None,
    trust: float,
) -> tuple[Guarded, ...]:
    """The guardrails of the target of this name; the weights (n,), `pairs`, `overlap` and `missing` (n,) are those of
    its reward.
    """
    every: list[Guarded] = []
    for one in found:
        series = series_of(one.reward, name, weight, pairs, overlap, missing, attested=trust <= 1)
        doubts = doubts_about(one.reward, name, series)
        gain, _ = gain_and_looks(one.reward, series, weight, pairs, params, unit, one.asked.margin)
        if gain.open:
            doubts += (f"some of what it does was never possible in the log, and {one.name} has no declared range",)
        elif gain.few:
            doubts += ("fewer than five users acted",)
        sign = -1.0 if one.asked.lower_is_better else 1.0
        logged = sign * float(np.average(one.reward.log.reward, weights=one.reward.log.weight))
        every.append(Guarded(one.name, logged, one.asked.lower_is_better, gain, doubts, trust))
    return tuple(every)


def statuses(targets: list[tuple[Guarded, ...]], alpha: float) -> list[tuple[Status, ...]]:
    """The status of every guardrail of every target."""
    tested = [one for each in targets for one in each if one.margin is not None]
    adjusted = (
        dict(zip(map(id, tested), holm([one.p_broken for one in tested]).tolist(), strict=True)) if tested else {}
    )
    return [tuple(one.status(alpha, adjusted.get(id(one), 1.0)) for one in each) for each in targets]


def together(p: list[float], targets: list[tuple[Guarded, ...]]) -> list[float]:
    """p values, Holm's over targets, of a claim with p values `p` (uncorrected) *and* of all guardrails holding."""
    if not p:
        return []
    holding = [max([one.p_holds for one in each if one.margin is not None], default=0.0) for each in targets]
    joint = [max(own, holds) for own, holds in zip(p, holding, strict=True)]
    return holm(joint).tolist()


def _limits(name: str, values: Floats, asked: GuardrailParams) -> Range:
    if asked.r_min is None or asked.r_max is None:
        return (0.0, 1.0) if np.all((values == 0) | (values == 1)) else None
    low, high = float(values.min()), float(values.max())
    if asked.r_min >= asked.r_max or low < asked.r_min or high > asked.r_max:
        raise JobError(
            "invalid_params",
            f"The guardrail {name!r} lies between {low:g} and {high:g}, not within [{asked.r_min:g}, {asked.r_max:g}].",
            hint="Declare a range that holds for every round.",
            pointer=f"/params/guardrails/{name}/r_min",
        )
    return asked.r_min, asked.r_max
