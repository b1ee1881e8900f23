"""The estimate of one target policy: the selected value with its interval, and every requested estimator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import cast

import numpy as np

from worker.contract.context import Context
from worker.kinds.bandit import intervals
from worker.kinds.bandit.convolution.policy_ess import Levels
from worker.kinds.bandit.convolution.weights import PathWeights, path_weights
from worker.kinds.bandit.deficiency import Deficiency, detect, support_of_log
from worker.kinds.bandit.diagnostics import Diagnostics, Reliability, diagnose, effective_size
from worker.kinds.bandit.estimation.guardrails import Guarded, guarded
from worker.kinds.bandit.estimation.params import EstimateParams, EstimatorName
from worker.kinds.bandit.estimation.positions import AtPosition, at_positions
from worker.kinds.bandit.estimation.prepare import Prepared
from worker.kinds.bandit.estimation.restricted import Changed
from worker.kinds.bandit.estimation.segments import Column, by_segment
from worker.kinds.bandit.estimation.series import doubts_about, gain_and_looks, series_of
from worker.kinds.bandit.estimation.special_weights import special_terms
from worker.kinds.bandit.estimators import ESTIMATORS, Estimator, PerRound, Terms
from worker.kinds.bandit.estimators.importance import snips
from worker.kinds.bandit.expectation import Integers
from worker.kinds.bandit.gain.anytime import Monitored
from worker.kinds.bandit.gain.claim import mean_of
from worker.kinds.bandit.gain.gain import Gain
from worker.kinds.bandit.gain.series import Series, effective_rounds
from worker.kinds.bandit.intervals import Interval
from worker.kinds.bandit.overlap import UNSUPPORTED, Overlap, Pairs
from worker.kinds.bandit.policies import Floats, Policy
from worker.kinds.bandit.remedies import extrapolate_reward, missing_reward, restrict_policy
from worker.kinds.bandit.selection.default import LEAST_ESS, Selected, least_smoothing, select
from worker.kinds.bandit.selection.slope import tuned

_BASE = {"pc_cips": "pc_ips", "pc_switch": "pc_dr", "pc_dros": "pc_dr", "pc_sgips": "pc_ips", "pc_sgdr": "pc_dr"}


@dataclass(frozen=True)
class Estimated:
    """One estimator's answer. `pess`: policy ESS of its weights, None where it has none; `taus`: smoothing of target
    and logging policy; `setting`: its own hyper-parameter, or what it chose."""

    name: str
    label: str
    estimate: PerRound
    interval: Interval
    pess: float | None
    ess: float | None
    taus: tuple[float, float] | None = None
    setting: tuple[str, float | str] | None = None


@dataclass(frozen=True)
class TargetEstimate:
    """Everything about one target policy.

    `headline` is the selected estimate, or its bounds where more than 1 % of the target's decisions are beyond the log;
    `over_logging` the gain over the logging policy, paired and never smoothed, from `series`; `bounds` of the value for
    any reward of what is missing; `guardrails`: further rewards; `segments`: the gain by segment; `changed`: how a
    target restricted to possible actions departs from the first; `monitored`: the gain at every look; `trust`: the
    factor by which propensities may be off that a claim must stand; `reliability` the traffic light of the unsmoothed
    target; `truth` only of simulations.
    """

    name: str
    policy: Policy
    headline: Estimated
    rows: tuple[Estimated, ...]
    selected: Selected | None
    diagnostics: Diagnostics
    deficiency: Deficiency
    bounds: Interval | None
    over_logging: Gain
    series: Series
    trust: float
    reliability: Reliability
    left_out: Mapping[str, str]
    truth: float | None = None
    positions: tuple[AtPosition, ...] = ()
    guardrails: tuple[Guarded, ...] = ()
    segments: tuple[Column, ...] = ()
    changed: Changed | None = None
    monitored: Monitored | None = None


def estimate_target(
    prepared: Prepared, name: str, target: Policy, params: EstimateParams, ctx: Context
) -> TargetEstimate:
    """Estimate one policy; `target` is on the rounds of `prepared.log`."""
    log = prepared.log
    plain = Terms(
        log.reward,
        target.at(log.action) / log.propensity,
        prepared.reward.q_logged,
        prepared.reward.dm[name],
        log.weight,
    )
    pairs = None if log.logging is None else Pairs.of(target, log.logging)
    overlap = None if pairs is None else Overlap.of(pairs, pairs.share(log.weight))
    weights = _weights(prepared, target, params, overlap, ctx)
    ctx.progress(1, 3, phase="estimate")
    selected = _select(prepared, name, weights, plain, params, ctx)
    seen = None if pairs is None or overlap is None or log.support is not None else overlap.missing[pairs.back]
    deficiency = detect(log, target, plain.weight, seen)
    trust = prepared.trust if params.gamma is None else params.gamma
    series = series_of(prepared.main, name, plain.weight, pairs, overlap, deficiency.mass, attested=trust <= 1)
    pess = None if overlap is None else effective_rounds(log) * overlap.policy_ess_share
    diagnostics = diagnose(
        plain,
        log.propensity,
        n_actions=log.n_actions,
        policy_ess=pess,
        spread=None if overlap is None else overlap.capped(math.inf)[1],
        unsupported=deficiency.mass,
        never_logged_mass=deficiency.never_logged_mass,
        doubts=doubts_about(prepared.main, name, series),
    )
    over_logging, monitored = gain_and_looks(
        prepared.main, series, plain.weight, pairs, params, prepared.unit, params.margin
    )
    forbidden = "the whole log cannot tell" if diagnostics.reliability == "red" else ""
    if monitored is not None:
        forbidden = forbidden or "no claims on segments while the log is monitored"
    limits = _bounds(prepared, series, diagnostics, params)
    rows, left_out = _rows(prepared, name, target, plain, weights, selected, params, ctx)
    rows += _where_unsupported(prepared, target, plain, deficiency, params, ctx, pess)
    if limits is not None and diagnostics.missing_mass > UNSUPPORTED:
        headline = _bounded(snips(plain), limits, pess)
    else:
        headline = _headline(prepared, plain, selected, params, pess, ctx)
    ctx.progress(2, 3, phase="estimate")
    return TargetEstimate(
        name=name,
        policy=target,
        headline=headline,
        rows=tuple(rows),
        selected=selected,
        diagnostics=diagnostics,
        deficiency=deficiency,
        bounds=limits,
        over_logging=over_logging,
        monitored=monitored,
        series=series,
        trust=trust,
        reliability=diagnostics.reliability,
        left_out=left_out,
        truth=None if log.truth is None else log.truth.value(target, log.weight),
        positions=at_positions(prepared, target, plain, weights, selected, params.alpha, ctx.seed),
        guardrails=guarded(
            prepared.guardrails, name, plain.weight, pairs, overlap, deficiency.mass, params, prepared.unit, trust
        ),
        segments=by_segment(
            prepared,
            series,
            pairs,
            asked=params.segments,
            alpha=params.alpha,
            trust=trust,
            forbidden=forbidden,
        ),
    )


def earned(prepared: Prepared, alpha: float) -> Estimated:
    """What the logging policy earned on these rounds: a plain mean."""
    log = prepared.log
    mean = PerRound(np.zeros(log.n), log.reward, rounds=log.weight)
    span = intervals.within(intervals.normal(mean, alpha, prepared.unit), prepared.reward_range)
    return Estimated("logging", "Logging policy", mean, span, mean.size, mean.size)


def _weights(
    prepared: Prepared, target: Policy, params: EstimateParams, overlap: Overlap | None, ctx: Context
) -> PathWeights | None:
    if prepared.path is None:
        return None
    levels: Levels | None = None
    taus = prepared.path.taus
    pair = (params.tau_target, params.tau_logging)
    if not prepared.smooths:
        levels = [(0, 0)]
    elif params.selection == "fixed" or None not in pair:
        first = taus.index(pair[0]) if pair[0] is not None else None
        second = taus.index(pair[1]) if pair[1] is not None else first
        levels = [((second if first is None else first) or 0, second or 0)]
    elif pair[0] is not None:
        levels = [(taus.index(pair[0]), level) for level in range(len(taus))]
    elif pair[1] is not None:
        levels = [(level, taus.index(pair[1])) for level in range(len(taus))]
    return path_weights(prepared.path, prepared.log, target, levels=levels, seed=ctx.seed, overlap=overlap)


def _select(
    prepared: Prepared, name: str, weights: PathWeights | None, plain: Terms, params: EstimateParams, ctx: Context
) -> Selected | None:
    if weights is None or not prepared.smooths:
        return None
    model = prepared.path_model or prepared.reward
    terms = replace(plain, q_logged=model.q_logged, dm=model.dm[name])
    rule = params.selection
    level = len(weights.taus) - 1
    if params.select_on == "half" and rule in ("slope", "slope_pp", "mse"):
        return _select_on_half(prepared, weights, terms, params, ctx)
    return select(weights, terms, rule=rule, level=level, switch=params.path_switch, reward_range=prepared.reward_range)


def _select_on_half(
    prepared: Prepared, weights: PathWeights, terms: Terms, params: EstimateParams, ctx: Context
) -> Selected:
    """Choose on one half of the rounds, estimate on the other; the other half stands for all rounds."""
    first = ctx.rng.permutation(prepared.log.n) < prepared.log.n // 2
    own = np.ones(prepared.log.n) if terms.rounds is None else terms.rounds
    halves = [replace(terms, rounds=own * part) for part in (first, ~first)]
    level = select(weights, halves[0], rule=params.selection, reward_range=prepared.reward_range).levels["chosen"]
    found = select(weights, halves[1], rule="fixed", level=level, reward_range=prepared.reward_range)
    return replace(found, rule=params.selection, why="chosen on one half of the rounds, estimated on the other")


def _rows(
    prepared: Prepared,
    target_name: str,
    target: Policy,
    plain: Terms,
    weights: PathWeights | None,
    selected: Selected | None,
    params: EstimateParams,
    ctx: Context,
) -> tuple[list[Estimated], dict[str, str]]:
    """Every requested estimator that this log allows, and why the others are left out."""
    rows: list[Estimated] = []
    left_out: dict[str, str] = {}
    for number, name in enumerate(dict.fromkeys(params.estimators)):
        ctx.progress(number, len(params.estimators), phase="estimate")
        estimator = ESTIMATORS[name]
        if estimator.weights in ("convolved", "logging_convolved"):
            if weights is None or not prepared.smooths:
                left_out[name] = "no logging policy to smooth" if weights is None else "no similarity of actions"
                continue
            taus, level_weights, pess = _level(prepared, target, estimator, weights, selected, params, ctx)
            terms = replace(plain, weight=level_weights)
            rows.append(_estimated(prepared, estimator, terms, pess, params, ctx, taus))
            continue
        found = special_terms(prepared, target_name, target, estimator, plain, params, ctx)
        if isinstance(found, str):
            left_out[name] = found
            continue
        pess = float(weights.pess[0]) if weights is not None and estimator.weights == "plain" else None
        rows.append(_estimated(prepared, estimator, found.terms, pess, params, ctx, setting=found.setting))
    return rows, left_out


def _level(
    prepared: Prepared,
    target: Policy,
    estimator: Estimator,
    weights: PathWeights,
    selected: Selected | None,
    params: EstimateParams,
    ctx: Context,
) -> tuple[tuple[float, float], Floats, float]:
    """Amounts of smoothing, weights and policy ESS at which an estimator stands in the table."""
    if estimator.weights == "logging_convolved":
        assert prepared.path is not None  # noqa: S101 - the caller left estimators without a path out
        only = [(0, level) for level in range(len(prepared.path.taus))]
        weights = path_weights(prepared.path, prepared.log, target, levels=only, seed=ctx.seed)
        level = least_smoothing(weights.pess, LEAST_ESS["pc_snips"])
    elif params.selection in ("policy_ess", "k5"):
        enough = 5.0 if params.selection == "k5" else LEAST_ESS[_BASE.get(estimator.name, estimator.name)]
        level = least_smoothing(weights.pess, enough)
    else:
        level = selected.levels["chosen"] if selected is not None else 0
    return (weights.taus[level], weights.logging_taus[level]), weights.weight[level], float(weights.pess[level])


def _hyper(estimator: Estimator, terms: Terms, params: EstimateParams) -> float | None:
    if estimator.hyper is None:
        return None
    asked = params.lambdas.get(cast(EstimatorName, estimator.name))
    if asked is not None:
        return tuned(estimator, terms) if asked == "tuned" else min(asked, estimator.hyper.high)
    return params.clip if estimator.name in ("cips", "pc_cips") else None


def _estimated(
    prepared: Prepared,
    estimator: Estimator,
    terms: Terms,
    pess: float | None,
    params: EstimateParams,
    ctx: Context,
    taus: tuple[float, float] | None = None,
    setting: tuple[str, float | str] | None = None,
) -> Estimated:
    hyper = _hyper(estimator, terms, params)
    found = estimator(terms, hyper)
    if estimator.hyper is not None:
        setting = (estimator.hyper.name, estimator.hyper.default if hyper is None else hyper)
    ess = None if estimator.weights == "none" else effective_size(terms.weight, terms.rounds)
    return Estimated(
        name=estimator.name,
        label=estimator.label,
        estimate=found,
        interval=interval_of(prepared, found, ess if pess is None else pess, params, ctx, model=estimator.model),
        pess=pess,
        ess=ess,
        taus=taus,
        setting=setting,
    )


def interval_of(
    prepared: Prepared,
    estimate: PerRound,
    worth: float | None,
    params: EstimateParams,
    ctx: Context,
    *,
    model: bool = False,
    least_se: float = 0.0,
) -> Interval:
    """The interval of the asked-for kind. `worth`: the policy ESS that floors it; where the policies are not known the
    ESS of the sample has to do; None (no weights at all) leaves the normal interval.

    Bounds for means cannot hold for ratios: those get the floored interval, and the report says so.
    """
    found = _of_kind(prepared, estimate, worth, params, ctx, model=model, least_se=least_se)
    return intervals.within(found, prepared.reward_range)


def _of_kind(
    prepared: Prepared,
    estimate: PerRound,
    worth: float | None,
    params: EstimateParams,
    ctx: Context,
    *,
    model: bool,
    least_se: float,
) -> Interval:
    kind = params.ci
    if kind in ("bernstein", "hoeffding") and estimate.self_normalised:
        ctx.warn(f"The {kind} interval bounds plain means; self-normalised estimates have the floored one instead.")
        kind = "floored"
    if kind == "bootstrap":
        return intervals.bootstrap(
            estimate, params.alpha, draws=params.bootstrap, seed=ctx.seed, cluster=prepared.unit, ctx=ctx
        )
    if kind in ("bernstein", "hoeffding"):
        limits = intervals.per_round_bounds(params.w_max, prepared.reward_range, model=model)
        bound = intervals.bernstein if kind == "bernstein" else intervals.hoeffding
        return bound(estimate, limits, params.alpha)
    if kind == "student":
        return intervals.student(estimate, params.alpha, prepared.unit)
    if kind == "normal" or worth is None:
        return intervals.normal(estimate, params.alpha, prepared.unit)
    found = intervals.floored(
        estimate,
        worth,
        params.alpha,
        reward_range=prepared.reward_range,
        reward_variance=float(np.var(prepared.log.reward)),
        reward_mean=float(np.mean(prepared.log.reward)),
        unit=prepared.unit,
    )
    half = NormalDist().inv_cdf(1 - params.alpha / 2) * least_se
    if half <= found.half_width:
        return found
    return replace(found, low=found.value - half, high=found.value + half)


def _headline(
    prepared: Prepared,
    plain: Terms,
    selected: Selected | None,
    params: EstimateParams,
    pess: float | None,
    ctx: Context,
) -> Estimated:
    """The selected estimate; where nothing can be smoothed, SNIPS."""
    if selected is None:
        snipped, ess = snips(plain), effective_size(plain.weight, plain.rounds)
        found = interval_of(prepared, snipped, ess if pess is None else pess, params, ctx)
        return Estimated("snips", "SNIPS", snipped, found, pess, ess)
    # The selected value is a mixture; its influence carries the pairing, its own se the uncertainty of the mixture.
    flat = PerRound(selected.influence, np.zeros(prepared.log.n), rounds=plain.rounds)
    least = selected.se if math.isfinite(selected.se) else 0.0
    found = interval_of(prepared, flat, selected.pess, params, ctx, least_se=least)
    found = replace(found, value=selected.value)
    return Estimated("selected", "Selected", flat, found, selected.pess, None)


def _where_unsupported(
    prepared: Prepared,
    target: Policy,
    plain: Terms,
    deficiency: Deficiency,
    params: EstimateParams,
    ctx: Context,
    pess: float | None,
) -> list[Estimated]:
    """The remedy asked for, as one more row: a model's reward, or a constant, for actions never possible."""
    support = support_of_log(prepared.log)
    if params.unsupported not in ("extrapolate", "constant") or support is None or deficiency.mean <= 0:
        return []
    if params.unsupported == "constant":
        k = 0.0 if params.k is None else params.k
        found, label, hyper = restrict_policy(plain, k), "IPS, constant where unsupported", ("k", k)
    else:
        model = _OutOfFold(prepared)
        missing = missing_reward(target, support, model, rng=ctx.rng)
        found, label, hyper = extrapolate_reward(plain, missing), "IPS, model where unsupported", None
    span = interval_of(prepared, found, pess, params, ctx, model=True)
    return [Estimated("unsupported", label, found, span, pess, effective_size(plain.weight, plain.rounds), None, hyper)]


def _bounds(prepared: Prepared, series: Series, diagnostics: Diagnostics, params: EstimateParams) -> Interval | None:
    """Ends of the value for any reward of what is missing; None where nothing is, or rewards have no declared range."""
    if diagnostics.missing_mass <= 0 or prepared.reward_range is None or params.unsupported == "ignore":
        return None
    log, undrawn = prepared.log, series.spread * (prepared.reward_range[1] - prepared.reward_range[0]) ** 2
    low, high = (mean_of(end + log.reward, undrawn, log.weight, prepared.unit) for end in (series.low, series.high))
    if not math.isfinite(low.se):
        ends = prepared.reward_range
    else:
        ends = low.low(params.alpha / 2), high.high(params.alpha / 2)
    ends = max(ends[0], prepared.reward_range[0]), min(ends[1], prepared.reward_range[1])
    return Interval(sum(ends) / 2, *ends, "bounds", params.alpha)


def _bounded(plain: PerRound, limits: Interval, pess: float | None) -> Estimated:
    """A headline of bounds; the rounds behind it are those of SNIPS."""
    return Estimated("bounds", "Bounds", plain, limits, pess, None)


@dataclass(frozen=True)
class _OutOfFold:
    """The cross-fitted reward model: every round by the model that did not see it."""

    prepared: Prepared

    def at(self, rounds: Integers, actions: Integers, /) -> Floats:
        reward, found = self.prepared.reward, np.empty(len(rounds))
        fold = reward.fold[rounds]
        for number, model in enumerate(reward.models):
            mine = np.flatnonzero(fold == number)
            found[mine] = model.at(rounds[mine], actions[mine])
        return found
