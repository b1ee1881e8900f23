"""Cross-fitting: every round is predicted by a model that has not seen it, nor any other round of its user."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.expectation import Integers
from worker.kinds.bandit.policies import Floats, Policy
from worker.kinds.bandit.reward_models.fitted import Bilinear, FittedReward

SampleWeight = Literal["normal", "iw", "mrdr"]


class Fit(Protocol):
    """A reward model's `fit`."""

    def __call__(
        self, log: BanditLog, rounds: Integers, *, weight: Floats | None = None, ctx: Context | None = None
    ) -> FittedReward:
        """Fit to rounds (m,) of a log with sample weights (m,)."""
        ...


@dataclass(frozen=True)
class CrossFitted:
    """Predictions for every round: at the logged action (n,), and the mean under each policy (n,).

    `fold` (n,): which model predicted a round. `in_sample`: one fold, so models saw the rounds they predict (flag it).
    """

    q_logged: Floats
    dm: dict[str, Floats]
    folds: int
    fold: NDArray[np.int32]
    models: tuple[FittedReward, ...]

    @property
    def in_sample(self) -> bool:
        """Whether rounds were predicted by a model fitted on themselves."""
        return self.folds == 1


def crossfit(
    log: BanditLog,
    fit: Fit,
    policies: Mapping[str, Policy],
    folds: int = 3,
    seed: int = 0,
    ctx: Context | None = None,
    *,
    sample_weight: SampleWeight = "normal",
) -> CrossFitted:
    """Fit `folds` models and predict the rounds each left out; folds 1 fits and predicts on all rounds.

    `sample_weight`: `iw` weighs rounds by w = pi/p, `mrdr` by pi (1 - p) / p^2 (Farajtabar et al. 2018); these depend
    on the target, so they take exactly one policy. The fold of a round depends on its user (its context where there
    are no users) and the seed alone.
    """
    ctx = Context() if ctx is None else ctx
    fold = assign_folds(log, folds, seed)
    folds = int(fold.max()) + 1
    weight = log.round_weight * _factor(log, policies, sample_weight)
    models: list[FittedReward] = []
    for k in range(folds):
        train = np.flatnonzero(fold != k) if folds > 1 else np.arange(log.n)
        with ctx.part(f"fold {k + 1}", k, folds, label="reward model", seed=ctx.seed) as part:
            # A target that took none of the logged actions leaves no weighted rounds: fit to the rounds as they are.
            trusted = weight if weight[train].any() else log.round_weight
            models.append(fit(log, train, weight=trusted[train], ctx=part))
    q_logged = np.empty(log.n)
    for k, model in enumerate(models):
        held = np.flatnonzero(fold == k)
        q_logged[held] = model.at(held, log.action[held])
    dm = {name: mean_under(models, policy, fold) for name, policy in policies.items()}
    return CrossFitted(q_logged, dm, folds, fold, tuple(models))


def assign_folds(log: BanditLog, folds: int, seed: int) -> NDArray[np.int32]:
    """Fold of every round (n,): whole users, equal numbers of users; without users whole contexts that repeat."""
    if folds <= 1:
        return np.zeros(log.n, np.int32)
    owner = log.user if log.user is not None else log.rows
    _, group = np.unique(owner, return_inverse=True)
    n_groups = int(group.max()) + 1
    if n_groups < 2:
        raise JobError(
            "too_few_rounds", "all rounds belong to one user, so none can be held out", hint="set folds to 1"
        )
    of_group = np.random.default_rng(seed).permutation(n_groups) % min(folds, n_groups)
    return of_group[group].astype(np.int32)


def mean_under(models: list[FittedReward], policy: Policy, fold: NDArray[np.integer]) -> Floats:
    """sum_a pi(a|x_i) q_hat_k(x_i, a) (n,), k the fold of round i; bilinear models share one pass over the policy."""
    means = np.empty(len(fold))
    shared = [m for m in models if isinstance(m, Bilinear)]
    if len(shared) < len(models):
        for k, model in enumerate(models):
            held = np.flatnonzero(fold == k)
            means[held] = model.under(policy, held)
        return means
    width = shared[0].right.shape[1]
    every = policy.table.times(np.concatenate([m.right for m in shared], axis=1))
    rows = policy.rows
    for k, model in enumerate(shared):
        held = np.flatnonzero(fold == k)
        means[held] = model.given_mean(every[:, k * width : (k + 1) * width], rows[held], held)
    return means


def _factor(log: BanditLog, policies: Mapping[str, Policy], sample_weight: SampleWeight) -> Floats:
    if sample_weight == "normal":
        return np.ones(log.n)
    if len(policies) != 1:
        raise ValueError("sample weights of a target policy need exactly one policy")
    target = next(iter(policies.values())).at(log.action)
    if sample_weight == "iw":
        return target / log.propensity
    return target * (1.0 - log.propensity) / log.propensity**2
