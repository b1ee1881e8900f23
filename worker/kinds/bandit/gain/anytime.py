"""The gain over the logging policy at every round at once: intervals that may be looked at whenever one likes.

An interval for a fixed number of rounds fails whoever looks again and again and stops when it pleases. A confidence
sequence holds at all rounds together (Waudby-Smith, Wu, Ramdas, Karampatziakis and Mineiro, "Anytime-valid off-policy
inference for contextual bandits", arXiv 2210.10768), whatever chose the propensities of a round from those before: the
logging policy may learn. It covers the mean, over the rounds so far, of what each gains given the rounds before,
which is the gain itself where nothing drifts.

From below, phi_i = (min(w_i, cap) - 1)(r_i - c) + u_i (r_min - c), u_i the mass beyond the log and the cap, has at
most the gain as its mean, and never lies under -B. With a guess g_i from earlier rounds, xi_i = (phi_i - g_i) / s >=
-1 for s = B + max |g|, so exp(l S + V (log(1 - l) + l)), S = sum (phi_i - nu_i) / s and V = sum xi_i^2, is a
nonnegative supermartingale for each l in [0, 1) (Fan, Grama and Liu 2015). Mixed over l with a gamma density of 1 - l
cut at 1 it has a closed form (Howard, Ramdas, McAuliffe and Sekhon 2021, gamma-exponential mixture). By Ville's
inequality it ever reaches 1 / alpha with probability alpha at most; the same from above with all signs turned.

With propensities alone u_i is not known; c is then the least reward from below and the largest from above, as in
`series`. The first 200 rounds choose cap, c and the mixture, since those must not follow from the rounds they are used
on; they are not counted. Ours differs from the paper in the cut of the weights (a cap instead of a truncated model)
and in pairing the target with the logging policy, so that nothing is left where the two agree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.gain.gain import CLAIM, Gain, Margin
from worker.kinds.bandit.gain.sensitivity import Shifts
from worker.kinds.bandit.overlap import CAPS, Gap, Overlap, Pairs
from worker.kinds.bandit.policies import Floats

FIRST = 200  # rounds that tune and are not counted
LEAST = 100  # rounds after them before the first look
HORIZON = 10_000.0  # rounds at which intervals are to be narrowest
_LARGEST_CAP = 100.0
_RATIO = 1.3  # between the looks that are shown


@dataclass(frozen=True)
class Side:
    """One side of the sequence: running sums (n,) of phi and of V, the scale s, and the mixture's parameter rho."""

    sums: Floats
    spread: Floats
    scale: float
    rho: float

    def low(self, rounds: int, alpha: float) -> float:
        """Lower end after so many rounds, at one-sided level 1 - alpha at all rounds together."""
        reach = boundary(float(self.spread[rounds - 1]), self.rho, alpha)
        return (float(self.sums[rounds - 1]) - self.scale * reach) / rounds

    def p(self, rounds: int, mean: float = 0.0) -> float:
        """Anytime p value of a running mean of `mean` or less: one over the wealth of betting against it."""
        excess = (float(self.sums[rounds - 1]) - rounds * mean) / self.scale
        return float(np.exp(-max(log_wealth(excess, float(self.spread[rounds - 1]), self.rho), 0.0)))

    def value(self, rounds: int) -> float:
        """Mean of phi."""
        return float(self.sums[rounds - 1]) / rounds


@dataclass(frozen=True)
class Look:
    """What was known after `rounds` (the first 200 among them); `fixed_low`, `fixed_high`: the ends of an interval for
    this one look.
    """

    rounds: int
    value: float
    low: float
    high: float
    fixed_low: float
    fixed_high: float
    p: float


@dataclass(frozen=True)
class Monitored:
    """The gain from below and, with signs turned, from above; `first`: rounds that are not counted."""

    below: Side
    above: Side
    first: int = FIRST

    @property
    def rounds(self) -> int:
        """Rounds that count."""
        return len(self.below.sums)

    def ends(self, rounds: int, alpha: float) -> tuple[float, float]:
        """The two-sided interval of the running gain after so many rounds that count."""
        return self.below.low(rounds, alpha / 2), -self.above.low(rounds, alpha / 2)

    def looks(self, alpha: float) -> tuple[Look, ...]:
        """Looks at growing numbers of rounds, the last at all."""
        count = max(1, round(np.log(self.rounds / LEAST) / np.log(_RATIO)) + 1)
        at = np.unique(np.geomspace(LEAST, self.rounds, count).round().astype(int))
        z = float(stats.norm.isf(alpha / 2))
        found: list[Look] = []
        for rounds in at.tolist():
            below, above = self.below.value(rounds), -self.above.value(rounds)
            low, high = self.ends(rounds, alpha)
            p = min(1.0, 2 * min(self.below.p(rounds), self.above.p(rounds)))
            half = [
                z * side.scale * float(np.sqrt(side.spread[rounds - 1])) / rounds for side in (self.below, self.above)
            ]
            found.append(Look(self.first + rounds, (below + above) / 2, low, high, below - half[0], above + half[1], p))
        return tuple(found)


def monitor(log: BanditLog, weight: Floats, pairs: Pairs | None, limits: tuple[float, float]) -> Monitored:
    """The sequence of a target with `weight` (n,) = pi/p; `pairs`: with the logging policy where it is known.

    Rounds go by their timestamp, or as they were uploaded. There must be at least `FIRST` + `LEAST` of them.
    """
    order = np.arange(log.n) if log.timestamp is None else np.argsort(log.timestamp, kind="stable")
    reward, ratio = log.reward[order], weight[order]
    if pairs is None:
        cap = max(2.0, 2 * float(ratio[:FIRST].max()))
        lost, centres = np.zeros(log.n), (limits[0], limits[1])
    else:
        cap, centre = _tuned(reward[:FIRST], pairs, pairs.back[order[:FIRST]], limits)
        lost = np.maximum(-Gap(pairs, cap).times(np.ones((pairs.target.n_actions, 1)))[pairs.back, 0], 0.0)[order]
        centres = (centre, centre)
    over = np.minimum(ratio, cap) - 1.0
    sides: list[Side] = []
    for sign, centre, least in ((1.0, centres[0], limits[0]), (-1.0, centres[1], limits[1])):
        phi = sign * (over * (reward - centre) + lost * (least - centre))
        toward, away = sign * (centre - least), (limits[1] - limits[0]) - sign * (centre - least)
        sides.append(_side(phi, max((cap - 1) * toward, away) + toward, limits[1] - limits[0]))
    return Monitored(*sides)


def anytime_gain(log: BanditLog, weight: Floats, found: Monitored, alpha: float, margin: float | None = None) -> Gain:
    """The gain as it stands at the last round, its p values valid however often it was looked at before."""
    rounds, level = found.rounds, CLAIM * alpha / 2
    low, high = found.ends(rounds, alpha)
    claims = found.below.low(rounds, level), found.above.low(rounds, level)
    shifts = Shifts.of(log.reward, weight)

    def turns(by: float) -> tuple[float, float]:
        return shifts.turns_at(claims[0] + by, better=True), shifts.turns_at(claims[1] - by, better=False)

    better_to, worse_to = turns(0.0)
    tested = None
    if margin is not None:
        p_within, p_beyond = found.below.p(rounds, -margin), found.above.p(rounds, margin)
        tested = Margin(margin, p_within, p_beyond, *turns(margin))
    ends = found.below.value(rounds), -found.above.value(rounds)
    se = max(one.scale * float(np.sqrt(one.spread[-1])) / rounds for one in (found.below, found.above))
    return Gain(
        value=sum(ends) / 2,
        se=se,
        low=low,
        high=high,
        p_better=found.below.p(rounds),
        p_worse=found.above.p(rounds),
        better_to=better_to,
        worse_to=worse_to,
        margin=tested,
    )


def log_wealth(excess: float, spread: float, rho: float) -> float:
    """Logarithm of the mixture at S = `excess` and V = `spread`: the integral over l in [0, 1) of exp(l S + V (log(1 -
    l) + l)) under the density rho^rho / (Gamma(rho) P(rho, rho)) (1 - l)^(rho - 1) exp(-rho (1 - l)), where P is the
    regularised lower incomplete gamma function.
    """
    shape, rate = spread + rho, excess + spread + rho
    if rate <= 0:
        return -np.inf
    inside = special.gammainc(shape, rate)
    if inside <= 0:
        return -np.inf
    start = rho * np.log(rho) - special.gammaln(rho) - np.log(special.gammainc(rho, rho))
    end = special.gammaln(shape) + np.log(inside) - shape * np.log(rate)
    return float(start + end + excess + spread)


def boundary(spread: float, rho: float, alpha: float) -> float:
    """The S at which the wealth is 1 / alpha."""
    wanted, high = float(np.log(1 / alpha)), 1.0
    while log_wealth(high, spread, rho) < wanted:
        high *= 2
    return float(optimize.brentq(lambda excess: log_wealth(excess, spread, rho) - wanted, 0.0, high, xtol=1e-10))


def _side(phi: Floats, least: float, span: float) -> Side:
    """The sums of phi (n,) >= -least; guesses lie within the span of rewards, and V is tuned on the first rounds."""
    scale = least + span
    before = np.concatenate([[0.0], np.cumsum(phi)[:-1]]) / np.arange(1, len(phi) + 1)
    squares = ((phi - np.clip(before, -span, span)) / scale) ** 2
    typical = HORIZON * float(squares[:FIRST].mean())
    wanted = 2 * np.log(1 / 0.01)
    rho = max(typical / (wanted + np.log(1 + wanted)), 1e-3)
    return Side(np.cumsum(phi[FIRST:]), np.cumsum(squares[FIRST:]), scale, float(rho))


def _tuned(reward: Floats, pairs: Pairs, first: NDArray[np.intp], limits: tuple[float, float]) -> tuple[float, float]:
    """Cap and centre by the policies and the rewards of the first rounds: the cap of least uncertainty at the horizon,
    from noise, from mass cut off, and from the scale that a cap brings.
    """
    span, noise = limits[1] - limits[0], float(reward.std())
    used, back = np.unique(first, return_inverse=True)
    mine = replace(pairs, target_rows=pairs.target_rows[used], logging_rows=pairs.logging_rows[used], back=back)
    overlap = Overlap.of(mine, mine.share())
    caps = [float(cap) for cap in CAPS if cap <= _LARGEST_CAP]

    def uncertain(cap: float) -> float:
        lost, spread = overlap.capped(cap)
        return (
            3 * noise * float(np.sqrt(spread / HORIZON)) + span * lost + 3 * span * min(cap, overlap.largest) / HORIZON
        )

    cap = min(caps, key=uncertain)
    return cap, float(np.clip(reward.mean(), *limits))
