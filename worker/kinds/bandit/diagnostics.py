"""What the weights of a log say about how far its estimates can be trusted.

E[w] = 1 when the logging policy supports every action of the target: a mean weight away from 1 says that propensities
are wrong or support is deficient. The effective sample size *of the sample* misses the large weights that were not
drawn (it read 532 where the policies' own was 0.2), so the traffic light uses the policy ESS wherever it is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from worker.kinds.bandit.estimators.per_round import Terms
from worker.kinds.bandit.overlap import UNSUPPORTED
from worker.kinds.bandit.policies import Floats

Reliability = Literal["green", "yellow", "orange", "red"]
MEAN_WEIGHT = 4.0  # standard errors
QUANTILES = (0.5, 0.9, 0.99, 0.999)
BINS = 40


@dataclass(frozen=True)
class Histogram:
    """Counts of rounds between `edges` (k + 1,); `below` counts what lies under the first (zeros, on a log axis)."""

    edges: tuple[float, ...]
    counts: tuple[float, ...]
    below: float = 0.0


@dataclass(frozen=True)
class LoggingCheck:
    """mean(1/p), which estimates the mean number of supported actions, and how much it depends on a few rounds.

    `robust`: the mean after capping 1/p at its 99.9 percent quantile. `largest_share`: share of the sum that one
    round holds; `heavy_tailed` above 20 percent: the plain mean is then not to be read. `deterministic`: mean(1/p) is
    1, every action was taken with certainty. `above_catalogue`: more supported actions than there are, so
    propensities are too small.
    """

    supported_actions: float
    robust: float
    largest_share: float
    heavy_tailed: bool
    deterministic: bool
    above_catalogue: bool
    smallest_propensity: float


@dataclass(frozen=True)
class Diagnostics:
    """Diagnostics of one target policy on one log; plain numbers, shares in [0, 1].

    `mean_weight_low`, `mean_weight_high`: 95 percent interval. `ess`: (sum w)^2 / sum w^2 of the sample; `policy_ess`
    from the policies, None where they are unknown. `top_share`: part of sum |w r| from the 1 percent largest weights;
    `tail_index`: Hill, top 5 percent of the positive weights (below 2: infinite variance), None where it cannot be
    told. `unsupported_mass`: mean target mass where mu = 0, None without the logging policy; `missing_mass`: the same,
    or without it what the mean weight lacks to 1 beyond two standard errors, at least `never_logged_mass`.
    `mean_weight_ok`: within four standard errors of 1. `doubts`: what speaks against the propensities.
    """

    n: int
    rounds: float
    mean_weight: float
    mean_weight_low: float
    mean_weight_high: float
    mean_weight_ok: bool
    ess: float
    ess_share: float
    policy_ess: float | None
    max_weight: float
    quantiles: dict[str, float]
    top_share: float
    top_weight_share: float
    tail_index: float | None
    zero_share: float
    missing_mass: float
    unsupported_mass: float | None
    never_logged_mass: float | None
    logging: LoggingCheck
    reliability: Reliability
    doubts: tuple[str, ...]
    weights: Histogram
    unsupported: Histogram | None
    reward_by_decile: tuple[float | None, ...]
    warnings: tuple[str, ...]


def diagnose(
    terms: Terms,
    propensity: Floats,
    *,
    n_actions: int | None = None,
    policy_ess: float | None = None,
    spread: float | None = None,
    unsupported: Floats | None = None,
    never_logged_mass: float | None = None,
    doubts: tuple[str, ...] = (),
) -> Diagnostics:
    """Diagnose unsmoothed weights w = pi_a / p.

    `propensity` (n,); `policy_ess` of the unsmoothed target and `spread`, the variance of its weights by the policies;
    `unsupported` (n,): target mass on actions with mu = 0; `never_logged_mass`: mean target mass on actions that occur
    in no round; `doubts`: what speaks against the propensities.

    The mean weight is tested at four standard errors: at two, one clean log in ten with heavy weights fails.
    """
    w = terms.weight
    share = np.full(len(w), 1.0 / len(w)) if terms.rounds is None else terms.rounds / terms.rounds.sum()
    size = float(len(w) if terms.rounds is None else terms.rounds.sum())
    mean, half = _mean_and_half_width(w, share, size)
    ess = effective_size(w, terms.rounds)
    noise = max(half / stats.norm.ppf(0.975), np.sqrt((spread or 0.0) / size))
    ok = bool(abs(mean - 1.0) <= MEAN_WEIGHT * noise + 1e-9)
    order = np.argsort(w, kind="stable")
    top = order[len(w) - max(1, round(0.01 * len(w))) :]
    logging = check_logging(propensity, n_actions, terms.rounds)
    missing = max(0.0, 1 - mean - 2 * noise) if unsupported is None else float(share @ unsupported)
    if unsupported is None and never_logged_mass is not None:
        missing = max(missing, never_logged_mass)
    light = reliability(
        ess if policy_ess is None else policy_ess,
        mean_weight_ok=ok,
        whole_policy=policy_ess is not None,
        missing=missing,
        doubtful=bool(doubts),
    )
    return Diagnostics(
        n=len(w),
        rounds=size,
        mean_weight=mean,
        mean_weight_low=mean - half,
        mean_weight_high=mean + half,
        mean_weight_ok=ok,
        ess=ess,
        ess_share=ess / size,
        policy_ess=policy_ess,
        max_weight=float(w.max()),
        quantiles={f"{q:g}": v for q, v in zip(QUANTILES, _quantiles(w, share, order, QUANTILES), strict=True)},
        top_share=_share(share * np.abs(w * terms.reward), top),
        top_weight_share=_share(share * w, top),
        tail_index=hill(w),
        zero_share=float(share[w == 0].sum()),
        missing_mass=missing,
        unsupported_mass=None if unsupported is None else float(share @ unsupported),
        never_logged_mass=never_logged_mass,
        logging=logging,
        reliability=light,
        weights=log_histogram(w, size * share),
        unsupported=None if unsupported is None else _histogram(unsupported, size * share),
        reward_by_decile=_reward_by_decile(terms, share, order),
        doubts=doubts,
        warnings=_warnings(mean, half, ok, logging, unsupported, share, policy_ess, doubts),
    )


def reliability(
    policy_ess: float,
    *,
    mean_weight_ok: bool = True,
    whole_policy: bool = True,
    missing: float = 0.0,
    doubtful: bool = False,
) -> Reliability:
    """Green from 100 with a mean weight near 1 and the whole logging policy known; yellow from 5; orange from 1.

    Red below, and where the propensities disagree with the log (`doubtful`). More than 1 % of the target's decisions
    `missing` in the log leave orange at best: only bounds hold.
    """
    if doubtful or policy_ess < 1:
        return "red"
    if missing > UNSUPPORTED or policy_ess < 5:
        return "orange"
    return "green" if policy_ess >= 100 and mean_weight_ok and whole_policy else "yellow"


def effective_size(weight: Floats, rounds: Floats | None = None) -> float:
    """(sum w)^2 / sum w^2 of the sample; 0 without weight."""
    total = weight.sum() if rounds is None else rounds @ weight
    squares = weight @ weight if rounds is None else rounds @ (weight * weight)
    return float(total**2 / squares) if squares > 0 else 0.0


def hill(weight: Floats, share: float = 0.05) -> float | None:
    """Hill's estimate of the tail index from the largest `share` of the positive weights; None for under 10 of them."""
    positive = np.sort(weight[weight > 0])[::-1]
    k = int(share * len(positive))
    if k < 10:
        return None
    excess = float(np.mean(np.log(positive[:k] / positive[k])))
    return 1.0 / excess if excess > 0 else None


def check_logging(propensity: Floats, n_actions: int | None = None, rounds: Floats | None = None) -> LoggingCheck:
    """Check the propensities alone; see `LoggingCheck`."""
    count = np.ones(len(propensity)) if rounds is None else rounds
    inverse = 1.0 / propensity
    size = count.sum()
    mean = float(count @ inverse / size)
    capped = np.minimum(inverse, _quantiles(inverse, count / size, np.argsort(inverse), (0.999,))[0])
    robust = float(count @ capped / size)
    spread = float(np.sqrt(count @ (inverse - mean) ** 2 / size / size))
    largest = float(inverse.max() / (count @ inverse))
    return LoggingCheck(
        supported_actions=mean,
        robust=robust,
        largest_share=largest,
        heavy_tailed=largest > 0.2,
        deterministic=abs(mean - 1.0) < 1e-9,
        above_catalogue=n_actions is not None and robust - 3 * spread > n_actions,
        smallest_propensity=float(propensity.min()),
    )


def calibration(
    predicted: Floats, observed: Floats, rounds: Floats | None = None, bins: int = 10
) -> tuple[tuple[float, float, float], ...]:
    """(mean predicted, mean observed, rounds) in bins of equally many rounds by prediction, for the report's plot.

    For a reward model: q_hat at the logged action against the reward. For estimated propensities: the probability of
    one action against whether it was taken.
    """
    count = np.ones(len(predicted)) if rounds is None else rounds
    order = np.argsort(predicted, kind="stable")
    reached = np.cumsum(count[order]) - count[order] / 2
    place = np.minimum((reached / count.sum() * bins).astype(np.int64), bins - 1)
    mass = np.bincount(place, count[order], bins)
    sums = [np.bincount(place, (count * values)[order], bins) for values in (predicted, observed)]
    return tuple((float(p / m), float(o / m), float(m)) for p, o, m in zip(*sums, mass, strict=True) if m > 0)


def log_histogram(weight: Floats, count: Floats, bins: int = BINS) -> Histogram:
    """Weights on a log axis; zeros are counted below it."""
    positive = weight > 0
    below = float(count[~positive].sum())
    if not positive.any():
        return Histogram((1.0, 10.0), (0.0,), below)
    low, high = np.log10(weight[positive].min()), np.log10(weight[positive].max())
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(np.log10(weight[positive]), bins, (low, high), weights=count[positive])
    return Histogram(tuple(float(v) for v in 10.0**edges), tuple(float(v) for v in counts), below)


def _histogram(mass: Floats, count: Floats, bins: int = 20) -> Histogram:
    counts, edges = np.histogram(np.clip(mass, 0.0, 1.0), bins, (0.0, 1.0), weights=count)
    return Histogram(tuple(float(v) for v in edges), tuple(float(v) for v in counts))


def _mean_and_half_width(w: Floats, share: Floats, size: float) -> tuple[float, float]:
    mean = float(share @ w)
    variance = float(share @ (w - mean) ** 2) * size / max(size - 1, 1)
    return mean, float(stats.norm.ppf(0.975) * np.sqrt(variance / size))


def _quantiles(values: Floats, share: Floats, order: np.ndarray, levels: tuple[float, ...]) -> list[float]:
    # The smallest value with at least q of the rounds at or below it: a row of weight c counts c times.
    place = np.searchsorted(np.cumsum(share[order]), np.array(levels) - 1e-12)
    return values[order[np.minimum(place, len(values) - 1)]].tolist()


def _share(parts: Floats, top: np.ndarray) -> float:
    total = parts.sum()
    return float(parts[top].sum() / total) if total > 0 else 0.0


def _reward_by_decile(terms: Terms, share: Floats, order: np.ndarray) -> tuple[float | None, ...]:
    reached = np.cumsum(share[order]) - share[order] / 2
    decile = np.minimum((reached * 10).astype(np.int64), 9)
    mass = np.bincount(decile, share[order], 10)
    sums = np.bincount(decile, share[order] * terms.reward[order], 10)
    return tuple(float(s / m) if m > 0 else None for s, m in zip(sums, mass, strict=True))


def _warnings(
    mean: float,
    half: float,
    ok: bool,
    logging: LoggingCheck,
    unsupported: Floats | None,
    share: Floats,
    policy_ess: float | None,
    doubts: tuple[str, ...],
) -> tuple[str, ...]:
    found = [f"The propensities disagree with the log: {doubt}." for doubt in doubts]
    if not ok:
        found.append(
            f"The mean weight is {mean:.3g} ± {half:.2g} where 1 is expected: propensities are wrong, or the logging "
            "policy does not support every action of the target."
        )
    if unsupported is not None and (mass := float(share @ unsupported)) > 1e-6:
        found.append(f"{mass:.1%} of the target's decisions are actions the logging policy never takes there.")
    if logging.heavy_tailed:
        found.append(
            f"One round holds {logging.largest_share:.0%} of the sum of 1/propensity (smallest propensity "
            f"{logging.smallest_propensity:.2g}): means of 1/propensity depend on it."
        )
    if logging.deterministic:
        found.append("Every logged action had propensity 1: a deterministic log cannot judge another policy.")
    if logging.above_catalogue:
        found.append("The propensities imply more actions than the catalogue has: they are too small.")
    if policy_ess is not None and policy_ess < 1:
        found.append("The policy ESS is below 1: no estimate from these logs is reliable for this target.")
    return tuple(found)
