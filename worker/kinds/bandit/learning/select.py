"""Choosing among learnt policies by rounds they were not trained on, and the constant k that steers unsupported mass.

k is the reward that training gives to every unsupported action: below the typical reward it pushes the policy back to
what was tried, above it out of it, up to the catastrophe of all mass on actions never seen. `minsup` scores a policy as
if unsupported actions were worth what the rarest supported ones are; `snips` and `dr` are the usual estimates on the
validation rounds. With a bound kappa on the unsupported mass, the values of k are those of a bisection for the largest
one that keeps it (the mass is non-decreasing in k at the optimum), and only policies within the bound are chosen from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from worker.kinds.bandit.learning.minsup import minsup
from worker.kinds.bandit.learning.models import PolicyModel
from worker.kinds.bandit.learning.softmax_policy import Tried
from worker.kinds.bandit.learning.training_set import TrainingSet, logged_weights

GRID = (0.0, 0.15, 0.3, 1.0)  # of the range of rewards
BASELINES = (0.0, 0.25, 0.5, 0.75, 0.9)  # of the way from the mean reward to the best one, for banditnet
BISECTIONS = 6
MOST_TRIED = BISECTIONS + 4  # by `bisect_k`: both ends of the range, and twice below it
SHARPER = (2.0, 4.0)  # powers of two: sharpening and its reverse are exact
ENOUGH = 0.01  # of the range of rewards: closer values of k are not told apart


@dataclass(frozen=True)
class Candidate:
    """One learnt policy. `scores`: by selector, on validation rounds; `mean_weight`: S = mean(w) there.

    `unsupported`: its mass on unsupported actions there, None where the support is unknown (then 1 - S stands for it).
    `sharpened`: factor its scores were multiplied by after training.
    """

    name: str
    k: float
    seed: int
    model: PolicyModel
    scores: dict[str, float]
    mean_weight: float
    unsupported: float | None
    sharpened: float = 1.0

    @property
    def missing(self) -> float:
        """Unsupported mass, or what the control variate says of it."""
        return 1.0 - self.mean_weight if self.unsupported is None else self.unsupported

    def record(self) -> Tried:
        """What is kept of the candidate beside its model; a score that is no finite number becomes None."""
        scores = {key: value if math.isfinite(value) else None for key, value in self.scores.items()}
        return Tried(self.name, self.k, self.seed, scores, self.mean_weight, self.unsupported, self.sharpened)


def sharpened(
    model: PolicyModel, rounds: TrainingSet, k0: float | None, selector: str, factors: Sequence[float]
) -> tuple[dict[str, float], float, float | None, float]:
    """Sharpen a trained policy in place by the factor that the selector likes best; `score` of it, and the factor.

    Weight decay, which training needs to carry over to other rounds, leaves a policy less decided than it should be.
    """
    found = [(*score(model, rounds, k0), 1.0)]
    done = 1.0
    for factor in factors:
        model.sharpen(factor / done)
        done = factor
        found.append((*score(model, rounds, k0), factor))
    best = max(found, key=lambda one: one[0][selector])
    model.sharpen(best[3] / done)
    return best


@torch.no_grad()
def score(model: PolicyModel, rounds: TrainingSet, k0: float | None) -> tuple[dict[str, float], float, float | None]:
    """Selector scores, S = mean(w) and unsupported mass of a policy on validation rounds.

    `dr` is scored when the rounds carry a model of all rewards; `minsup` when `k0` is given.
    """
    weight = logged_weights(model, rounds).cpu().numpy()
    reward = rounds.reward.cpu().numpy()
    count = np.ones(rounds.n) if rounds.count is None else rounds.count.cpu().numpy()
    total = count.sum()
    mean_weight = float(count @ weight / total)
    value = float(count @ (weight * reward) / total)
    scores = {"snips": value / mean_weight if mean_weight > 0 else -math.inf}
    if k0 is not None:
        scores["minsup"] = minsup(weight, reward, k0, count)
    if rounds.modelled is not None and rounds.modelled.everywhere and rounds.q_logged is not None:
        residual = weight * (reward - rounds.q_logged.cpu().numpy())
        scores["dr"] = float(count @ (_modelled(model, rounds) + residual) / total)
    return scores, mean_weight, unsupported(model, rounds)


@torch.no_grad()
def unsupported(model: PolicyModel, rounds: TrainingSet) -> float | None:
    """The policy's mean mass on unsupported actions over the rounds; None where the support is not known."""
    if rounds.support is None:
        return None
    if rounds.support.complete or rounds.restrict:
        return 0.0
    count = np.ones(rounds.n) if rounds.count is None else rounds.count.cpu().numpy()
    per_state = np.bincount(rounds.state.cpu().numpy(), count, rounds.n_states)
    if rounds.candidates is None:
        mass = 0.0
        for states, _ in rounds.blocks(model.shape.n_actions):
            shares = torch.softmax(model(rounds.x[states]), dim=1).double().cpu().numpy()
            outside = np.where(rounds.support.mask(rounds.support_row[states]), 0.0, shares).sum(1)
            mass += float(per_state[states] @ outside)
        return mass / float(count.sum())
    mass = 0.0
    for states, _ in rounds.blocks(rounds.candidates.shape[1]):
        few = rounds.candidates[states]
        shares = torch.softmax(model.score(rounds.x[states], few).double(), dim=1).cpu().numpy()
        chosen = few.cpu().numpy()
        rows = np.repeat(rounds.support_row[states], chosen.shape[1])
        outside = np.where(rounds.support.has(rows, chosen.ravel()).reshape(chosen.shape), 0.0, shares).sum(1)
        mass += float(per_state[states] @ outside)
    return mass / float(count.sum())


def best(candidates: Sequence[Candidate], selector: str) -> Candidate:
    """The candidate of the highest score; the first of equals."""
    return max(candidates, key=lambda candidate: candidate.scores[selector])


def grid(reward_range: tuple[float, float], mean_reward: float, *, baselines: bool) -> tuple[float, ...]:
    """The constants to try: shares of the reward range, or for banditnet of the way from mean to best reward."""
    low, high = reward_range
    if baselines:
        return tuple(mean_reward + share * (high - mean_reward) for share in BASELINES)
    return tuple(low + share * (high - low) for share in GRID)


def bisect_k(
    learn: Callable[[float], Candidate], kappa: float, reward_range: tuple[float, float]
) -> Iterator[Candidate]:
    """Candidates on the way to the largest k whose unsupported mass is at most kappa; at most 6 bisections.

    Starts from the ends of the reward range, and goes below it where even its lower end lets too much mass out.
    """
    low, high = reward_range
    width = max(high - low, 1e-12)
    top = learn(high)
    yield top
    if top.missing <= kappa:
        return
    bottom = learn(low)
    yield bottom
    for _ in range(2):
        if bottom.missing <= kappa:
            break
        high, low = low, low - 2 * width
        bottom = learn(low)
        yield bottom
    if bottom.missing > kappa:
        return
    for _ in range(BISECTIONS):
        if high - low <= ENOUGH * width:
            return
        middle = learn((low + high) / 2)
        yield middle
        low, high = (middle.k, high) if middle.missing <= kappa else (low, middle.k)


def within(candidates: Sequence[Candidate], kappa: float, selector: str) -> Candidate:
    """Of those whose unsupported mass is at most kappa, the one of the highest score; else that of the least mass."""
    allowed = [candidate for candidate in candidates if candidate.missing <= kappa]
    return best(allowed, selector) if allowed else min(candidates, key=lambda candidate: candidate.missing)


def _modelled(model: PolicyModel, rounds: TrainingSet) -> np.ndarray:
    plain = replace(rounds, q_logged=None)
    parts = [plain.forward(model, states, part)[1] for states, part in plain.blocks(_width(model, plain))]
    return torch.cat([part for part in parts if part is not None]).cpu().numpy()


def _width(model: PolicyModel, rounds: TrainingSet) -> int:
    return model.shape.n_actions if rounds.candidates is None else rounds.candidates.shape[1]
