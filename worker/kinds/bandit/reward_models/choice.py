"""The reward model of smallest held-out error: additive, with coefficients of its own for every action, or trees.

An additive model values the same action everywhere, so DM and DR are blind where decisions are personal. Which of the
three sees more than it costs in noise depends on the log; each is fitted to the same folds (whole users) and the
squared error on the rounds left out decides. Trees cost most, so they are tried on the first fold and go on to the
others only where they err less there. Predictions are cut to the declared range of rewards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from worker.contract.context import Context
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.expectation import Integers
from worker.kinds.bandit.policies import Floats, Policy, SparseTable
from worker.kinds.bandit.reward_models import gbdt, logistic, per_action, ridge
from worker.kinds.bandit.reward_models.crossfit import CrossFitted, Fit, crossfit, mean_under
from worker.kinds.bandit.reward_models.fitted import Bilinear, Pointwise

MOST_ACTIONS = 2_000  # with coefficients of their own
TREE_ROUNDS = (1_000, 50_000)  # fewer say nothing to trees, more take minutes
TREE_CELLS = 2_000_000  # predictions of trees: contexts times the actions that a policy lists
CUT_CELLS = 4_000_000


@dataclass(frozen=True)
class Choice:
    """The chosen model by `name`, and the mean squared error of every one on rounds left out."""

    name: str
    reward: CrossFitted
    errors: dict[str, float]


def choose(
    log: BanditLog,
    targets: Mapping[str, Policy],
    folds: int,
    seed: int,
    ctx: Context,
    limits: tuple[float, float] | None,
) -> Choice:
    """Fit every candidate that the log can bear and keep the best; means under policies are taken of that one alone.

    With one fold there is nothing to choose on: the additive model is kept.
    """
    fits = candidates(log, targets)
    found: dict[str, CrossFitted] = {}
    for number, (name, fit) in enumerate(fits.items() if folds > 1 else list(fits.items())[:1]):
        with ctx.part(name, number, len(fits), label="reward model", seed=seed) as part:
            if name == "gbdt" and not _leads_on_first_fold(log, fit, list(found.values()), part):
                continue
            found[name] = _cut(crossfit(log, fit, {}, folds, seed, part), log, targets, limits)
    weight = log.round_weight / log.round_weight.sum()
    errors = {name: float(weight @ (log.reward - one.q_logged) ** 2) for name, one in found.items()}
    best = min(errors, key=lambda name: errors[name])
    kept = found[best]
    dm = {name: mean_under(list(kept.models), policy, kept.fold) for name, policy in targets.items()}
    return Choice(best, replace(kept, dm=dm), errors)


def _leads_on_first_fold(log: BanditLog, fit: Fit, others: list[CrossFitted], ctx: Context) -> bool:
    first = others[0].fold == 0
    held, weight = np.flatnonzero(first), log.round_weight
    model = fit(log, np.flatnonzero(~first), weight=weight[~first], ctx=ctx)
    error = weight[held] @ (log.reward[held] - model.at(held, log.action[held])) ** 2
    return bool(error < min(float(weight[held] @ (log.reward[held] - one.q_logged[held]) ** 2) for one in others))


def candidates(log: BanditLog, targets: Mapping[str, Policy]) -> dict[str, Fit]:
    """Models that the log can bear by name, the cheapest first."""
    binary = bool(np.all((log.reward == 0) | (log.reward == 1))) and 0 < log.reward.mean() < 1
    found: dict[str, Fit] = {"logistic": logistic.fit} if binary else {"ridge": ridge.fit}
    if log.n_actions <= MOST_ACTIONS and log.contexts.shape[1] and per_action.fits_in_memory(log):
        found["per_action"] = per_action.fit
    if (
        TREE_ROUNDS[0] <= log.n <= TREE_ROUNDS[1]
        and log.contexts.shape[1]
        and (log.embeddings is not None or log.n_actions <= gbdt.CATEGORIES)
        and _cells(log, targets) <= TREE_CELLS
    ):
        found["gbdt"] = gbdt.fit
    return found


def _cells(log: BanditLog, targets: Mapping[str, Policy]) -> int:
    """Values that sums over the actions of the targets and the logging policy take of a model."""
    policies = [*targets.values()] + ([] if log.logging is None else [log.logging])
    found = 0
    for policy in policies:
        rows = min(len(log.contexts) if policy.index is None else max(len(log.contexts), policy.table.n_rows), log.n)
        table = policy.table
        lists = isinstance(table, SparseTable) and table.floor is None
        found += int(rows * table.entries.nnz / max(table.n_rows, 1)) if lists else rows * log.n_actions
    return found


def _cut(
    fitted: CrossFitted, log: BanditLog, targets: Mapping[str, Policy], limits: tuple[float, float] | None
) -> CrossFitted:
    """The same with every prediction inside the range, unless it is there by itself or sums would take too long."""
    inside = limits == (0.0, 1.0) and all(isinstance(model, Pointwise) for model in fitted.models)
    if limits is None or inside:
        return fitted
    if _cells(log, targets) > CUT_CELLS:
        return fitted
    models = tuple(_Within(model, limits).as_pointwise(log) for model in fitted.models)
    return replace(fitted, models=models, q_logged=np.clip(fitted.q_logged, *limits))


@dataclass(frozen=True)
class _Within:
    """A fitted model by context and action, cut to a range."""

    model: object
    limits: tuple[float, float]

    def as_pointwise(self, log: BanditLog) -> Pointwise:
        return Pointwise(log.rows, log.n_actions, self)

    def __call__(self, contexts: Integers, actions: Integers) -> Floats:
        if isinstance(self.model, Bilinear):
            found = self.model.of_context(contexts, actions)
        else:
            assert isinstance(self.model, Pointwise)  # noqa: S101 - the candidates have these two forms
            found = self.model.predict(contexts, actions)
        return np.clip(found, *self.limits)
