"""How much to smooth: by default the median of three estimates; the classical rules for comparison.

The default never lets rewards choose among widths it cannot trust. PC-SNIPS at the least smoothing with policy ESS 5,
PC-SNDR at the least with 10 and the value of the whole path (`selection.evidence_path`) vote; the median wins. Where
the path shows the embedding to be clean (its value is far more certain than the first vote, and agrees with it), the
path's value is returned instead.

Where the unsmoothed target has a policy ESS of 50 or more there is no vote: SNIPS is as good as any amount of smoothing
there (over such cells of our suite the vote is as good on average, and up to 1.6 times worse in single ones).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from worker.contract.errors import JobError
from worker.kinds.bandit.convolution.weights import PathWeights
from worker.kinds.bandit.estimators.doubly_robust import dr, model_of, sndr
from worker.kinds.bandit.estimators.importance import ips, snips
from worker.kinds.bandit.estimators.per_round import PerRound, Terms
from worker.kinds.bandit.policies import Floats
from worker.kinds.bandit.selection.evidence_path import PathValue, correlation, noise_widths, path_value
from worker.kinds.bandit.selection.slope import along_path

Rule = Literal["policy_ess", "k5", "slope", "slope_pp", "mse", "fixed"]
PathEstimator = Literal["pc_ips", "pc_snips", "pc_dr", "pc_sndr"]
ESTIMATORS: dict[PathEstimator, Callable[[Terms], PerRound]] = {
    "pc_ips": ips,
    "pc_snips": snips,
    "pc_dr": dr,
    "pc_sndr": sndr,
}
LEAST_ESS = {"pc_ips": 5.0, "pc_snips": 5.0, "pc_dr": 10.0, "pc_sndr": 10.0}
HEALTHY = 50.0
SWITCH_CERTAINTY, SWITCH_AGREEMENT = 0.3, 2.0


@dataclass(frozen=True)
class PathRecord:
    """The whole path, candidate by candidate (T,): amounts of smoothing, policy ESS, every estimator's value and se.

    `bias`: what the reward model expects smoothing to add (None without one); `width`: c_k, the noise a PC-SNIPS
    estimate has at least, in units of the reward.
    """

    family: str
    taus: tuple[float, ...]
    logging_taus: tuple[float, ...]
    pess: Floats
    theta: dict[str, Floats]
    se: dict[str, Floats]
    bias: Floats | None
    width: Floats


@dataclass(frozen=True)
class Selected:
    """An estimate and how it came about.

    `value`, `se` and `influence` (n,), whose mean is the value; `pess` of the candidate that carries it (for the
    median and V_path: of k5), which the interval's floor needs; `chosen`: `snips`, `median`, `v_path` or an estimator
    with its level; `levels`: candidate of k5 and k10 (or the rule's pick); `parts`: the votes; `why` in a sentence.
    """

    value: float
    se: float
    influence: Floats
    pess: float
    rule: Rule
    chosen: str
    why: str
    levels: dict[str, int]
    parts: dict[str, float]
    sd_path: float | None
    path: PathRecord


def least_smoothing(pess: Floats, enough: float) -> int:
    """The least smoothed candidate with policy ESS `enough`; without any, the one with most."""
    worth = np.flatnonzero(pess >= enough)
    return int(worth[0]) if len(worth) else int(np.argmax(pess))


def select(
    weights: PathWeights,
    terms: Terms,
    *,
    rule: Rule = "policy_ess",
    estimator: PathEstimator = "pc_snips",
    level: int = 0,
    switch: bool = True,
    reward_range: tuple[float, float] | None = None,
) -> Selected:
    """The estimate of one target policy on one path.

    `terms`: reward, model predictions and round weights (its `weight` is not read). `estimator` and `level` are for
    the rules that choose one estimator's candidate: `level` alone for `fixed`. `reward_range`: declared bounds, by
    default the rewards' own. Without a reward model `policy_ess` is PC-SNIPS at k5. Raises `invalid_request` for
    SLOPE on a path without a total order.
    """
    record = _record(weights, terms, reward_range)
    if rule == "policy_ess" and terms.dm is not None and terms.q_logged is not None:
        return _voted(weights, terms, record, switch, reward_range)
    if rule in ("policy_ess", "k5"):
        estimator = "pc_snips" if rule == "policy_ess" else estimator
        enough = 5.0 if rule == "k5" else LEAST_ESS[estimator]
        level = least_smoothing(weights.pess, enough)
        why = f"the least smoothing with policy ESS {enough:g} or more"
        if weights.pess[level] < enough:
            why = f"no candidate has policy ESS {enough:g}, so the one with most"
    elif rule in ("slope", "slope_pp"):
        _refuse_free_grid(weights)
        level = along_path(_along(estimator, weights, terms), rule)
        why = "the most smoothing whose interval still meets those of all lesser ones"
    elif rule == "mse":
        level = least_mse(weights, terms, _along(estimator, weights, terms))
        why = "the least sum of estimated variance and squared bias, which is optimistic about both"
    else:
        why = "set by the request"
    picked = _at(estimator, weights, terms, level)
    return Selected(
        picked.value,
        picked.se,
        picked.influence,
        float(weights.pess[level]),
        rule,
        f"{estimator}@{level}",
        why,
        {"chosen": level},
        {estimator: picked.value},
        None,
        record,
    )


def _refuse_free_grid(weights: PathWeights) -> None:
    coupled = weights.taus == weights.logging_taus
    if not coupled and len(set(weights.taus[1:])) > 1 and len(set(weights.logging_taus[1:])) > 1:
        raise JobError(
            "invalid_request",
            "SLOPE needs candidates in order of bias; a free grid of two amounts of smoothing has none.",
            hint="Fix one of tau_target and tau_logging, or leave both to the coupled path.",
            pointer="/params/selection",
        )


def _span(reward: Floats, reward_range: tuple[float, float] | None) -> tuple[float, float]:
    low, high = reward_range or (float(reward.min()), float(reward.max()))
    return low, max(high - low, 0.0)


def _variance(terms: Terms) -> float:
    rounds = np.ones(len(terms.reward)) if terms.rounds is None else terms.rounds
    mean = rounds @ terms.reward / rounds.sum()
    return float(rounds @ (terms.reward - mean) ** 2 / rounds.sum())


def _at(name: PathEstimator, weights: PathWeights, terms: Terms, level: int) -> PerRound:
    return ESTIMATORS[name](replace(terms, weight=weights.weight[level]))


def _along(name: PathEstimator, weights: PathWeights, terms: Terms) -> list[PerRound]:
    return [_at(name, weights, terms, level) for level in range(len(weights.taus))]


def _record(weights: PathWeights, terms: Terms, reward_range: tuple[float, float] | None) -> PathRecord:
    theta = {str(name): np.empty(len(weights.taus)) for name in ESTIMATORS}
    se = {str(name): np.empty(len(weights.taus)) for name in ESTIMATORS}
    for name in ESTIMATORS:
        for level in range(len(weights.taus)):
            estimate = _at(name, weights, terms, level)  # one at a time: their rounds take more memory than the log
            theta[name][level], se[name][level] = estimate.value, estimate.se
    scale = _span(terms.reward, reward_range)[1] or 1.0
    width = scale * noise_widths(se["pc_snips"] / scale, weights.pess, _variance(terms) / scale**2)
    bias = None
    if terms.dm is not None and terms.q_logged is not None:
        model = replace(terms, reward=terms.q_logged, q_logged=None, dm=None)
        direct = PerRound(terms.dm, np.zeros(len(terms.dm)), rounds=terms.rounds).value
        bias = np.array([snips(replace(model, weight=w)).value for w in weights.weight]) - direct
    return PathRecord(weights.family, weights.taus, weights.logging_taus, weights.pess, theta, se, bias, width)


def _voted(
    weights: PathWeights,
    terms: Terms,
    record: PathRecord,
    switch: bool,
    reward_range: tuple[float, float] | None,
) -> Selected:
    """The median of PC-SNIPS at k5, PC-SNDR at k10 and V_path, or V_path where the path is certain and agrees."""
    k5, k10 = least_smoothing(weights.pess, 5.0), least_smoothing(weights.pess, 10.0)
    first, second = _at("pc_snips", weights, terms, k5), _at("pc_sndr", weights, terms, k10)
    whole, order = _whole_path(weights, terms, record, reward_range)
    votes = {"pc_snips_k5": first.value, "pc_sndr_k10": second.value, "v_path": whole.value}
    certain = whole.sd < SWITCH_CERTAINTY * record.width[k5]
    agrees = abs(whole.value - first.value) < SWITCH_AGREEMENT * record.width[k5]
    if weights.pess[0] >= HEALTHY:
        chosen, winner = "snips", "pc_snips_k5"
        why = f"SNIPS without smoothing, as the policy ESS is {HEALTHY:g} or more"
    elif switch and certain and agrees:
        chosen, winner = "v_path", "v_path"
        why = "the path's value is far more certain than the least smoothed estimate and agrees with it"
    else:
        chosen, winner = "median", sorted(votes, key=lambda name: votes[name])[1]
        why = f"the median of three estimates, which is {winner}"
    if winner == "v_path":
        influence = _path_influence(whole, order, terms, weights)
        se = whole.sd
    else:
        picked = first if winner == "pc_snips_k5" else second
        influence, se = picked.influence, picked.se
    return Selected(
        votes[winner],
        se,
        influence,
        float(weights.pess[k5]),
        "policy_ess",
        chosen,
        why,
        {"k5": k5, "k10": k10},
        votes,
        whole.sd,
        record,
    )


def _whole_path(
    weights: PathWeights, terms: Terms, record: PathRecord, reward_range: tuple[float, float] | None
) -> tuple[PathValue, np.ndarray]:
    """V_path in units of the reward, and the candidates it used in ascending policy ESS."""
    order = np.argsort(weights.pess, kind="stable")
    order = order[weights.pess[order] > 0]
    low, span = _span(terms.reward, reward_range)
    if not len(order) or span == 0 or record.bias is None:
        fallback = float(record.theta["pc_snips"][least_smoothing(weights.pess, 5.0)])
        return PathValue(fallback, float("inf") if span else 0.0, np.zeros(len(order))), order
    rounds = np.ones(len(terms.reward)) if terms.rounds is None else terms.rounds
    counted = weights.weight[order] * rounds
    shared = correlation(counted / np.maximum(counted.sum(axis=1, keepdims=True), 1e-300))
    found = path_value(
        (record.theta["pc_snips"][order] - low) / span,
        record.se["pc_snips"][order] / span,
        record.bias[order] / span,
        weights.pess[order],
        shared,
        _variance(terms) / span**2,
    )
    return PathValue(low + span * min(max(found.value, 0.0), 1.0), span * found.sd, found.pull), order


def _path_influence(whole: PathValue, order: np.ndarray, terms: Terms, weights: PathWeights) -> Floats:
    """Per-round values whose mean is V_path: its pull on every theta_k - b_k, the pulls taken as given."""
    if not whole.pull.any():
        return np.full(len(terms.reward), whole.value)
    q_logged, dm = model_of(terms)
    model = replace(terms, reward=q_logged, q_logged=None, dm=None)
    total = np.zeros(len(terms.reward))
    for pull, candidate in zip(whole.pull, order, strict=True):
        expected = snips(replace(model, weight=weights.weight[candidate]))
        total += pull * (_at("pc_snips", weights, terms, int(candidate)).influence - expected.influence + dm)
    mean = PerRound(total, np.zeros(len(total)), rounds=terms.rounds).value
    return total + (whole.value - mean)  # clipping and the mixture move the mean, not the spread


def least_mse(weights: PathWeights, terms: Terms, estimates: list[PerRound]) -> int:
    """The candidate of least variance / n + bias^2, the bias taken from the change of weights (Su et al. 2020).

    bias = |mean((w - w_t)(r - q))| + sqrt(2 mean(w^2) log(2/delta) / n) + 2 max(w) log(2/delta) / (3 n), delta 0.05,
    the two last terms only for smoothed candidates: the unsmoothed one has no bias.
    """
    plain = weights.weight[0]
    rest = terms.reward - (0.0 if terms.q_logged is None else terms.q_logged)
    scale = PerRound(np.zeros(len(plain)), plain * plain, rounds=terms.rounds)
    n = scale.size
    slack = np.sqrt(2 * scale.value * np.log(40.0) / n) + 2 * float(plain.max()) * np.log(40.0) / (3 * n)
    scores: list[float] = []
    for level, estimate in enumerate(estimates):
        moved = PerRound(np.zeros(len(plain)), (plain - weights.weight[level]) * rest, rounds=terms.rounds).value
        scores.append(estimate.se**2 + (0.0 if level == 0 else (abs(moved) + slack) ** 2))
    return int(np.argmin(scores))
