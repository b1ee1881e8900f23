"""What is legal in a log and yet suspicious: said as warnings, never a reason to refuse."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from worker.contract.context import Context
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.policies import Policy
from worker.kinds.bandit.upload.features import Feature, distinct_features

_UNLIKELY = 1e-6
_HEAVY = 0.2
_COMPARED = 10_000


def warn(log: BanditLog, ctx: Context) -> None:
    """Warn of duplicates, odd propensities, targets that are the logging policy, and rewards out of bounds."""
    _duplicates(log, ctx)
    _propensities(log, ctx)
    for name, target in log.targets.items():
        if not (target.at(log.action) > 0).any():
            ctx.warn(
                f"The target policy {name} gives no logged action any probability: does it name actions as the log "
                "does (and count them from 0 or 1 alike)?"
            )
        if _equal(log, target):
            ctx.warn(
                f"The target policy {name} equals the logging policy: its value is the mean of the logged rewards."
            )
    if log.reward_range is not None:
        low, high = log.reward_range
        outside = int(((log.reward < low) | (log.reward > high)).sum())
        if outside:
            ctx.warn(
                f"{outside:,} rewards lie outside the declared bounds {low:g} to {high:g}: guarantees do not hold."
            )
    never = log.n_actions - len(np.unique(log.action))
    if never > log.n_actions / 2:
        ctx.warn(f"{never:,} of {log.n_actions:,} actions were never logged.")


def _duplicates(log: BanditLog, ctx: Context) -> None:
    """Rounds alike in every column; expected where there are few contexts and no times."""
    distinguishable = log.timestamp is not None or len(log.contexts) > 0.9 * log.n
    if not distinguishable or log.weight is not None:
        return
    columns = [
        log.action, log.rows, *(part for part in (log.user, log.position) if part is not None),
        *(np.ascontiguousarray(part).view(np.int32).reshape(log.n, 2)[:, half]
          for part in (log.reward, log.propensity, log.timestamp) if part is not None for half in (0, 1)),
    ]  # fmt: skip
    first, _ = distinct_features([Feature("", None, np.ascontiguousarray(c, np.int32)) for c in columns], log.n)
    if len(first) < log.n:
        ctx.warn(f"{log.n - len(first):,} of {log.n:,} rounds repeat another round in every column.")


def _propensities(log: BanditLog, ctx: Context) -> None:
    chance = log.propensity
    inverse = 1 / chance
    if inverse.mean() <= 1 + 1e-9:
        ctx.warn(
            "Every propensity is 1: the logging policy was deterministic, and the log says nothing about other actions."
        )
        return
    if inverse.max() > _HEAVY * inverse.sum():
        row = int(np.argmax(inverse)) + 1
        ctx.warn(f"Row {row:,} alone holds {inverse.max() / inverse.sum():.0%} of the sum of inverse propensities.")
    if np.ptp(chance) > 1e-12 or log.n_actions < 2:
        return
    if abs(chance[0] * log.n_actions - 1) > 1e-6:
        ctx.warn(
            f"Every propensity is {chance[0]:g}, which is not one in {log.n_actions:,} actions: a constant is right "
            "only for a policy that looks at nothing."
        )
        return
    counts = np.bincount(log.action, minlength=log.n_actions)
    if log.weight is None and stats.chisquare(counts).pvalue < _UNLIKELY:
        ctx.warn(
            "Every propensity is that of the uniform policy, but the actions were not logged equally often: the policy "
            "looked at something, and its propensities were not kept."
        )


def _equal(log: BanditLog, target: Policy) -> bool:
    if not np.allclose(target.at(log.action), log.propensity, rtol=1e-6, atol=0):
        return False
    if log.logging is None:
        return True
    rng = np.random.default_rng(0)
    rounds: NDArray[np.integer] = rng.integers(0, log.n, min(log.n, _COMPARED))
    actions = rng.integers(0, log.n_actions, len(rounds))
    return bool(
        np.allclose(target.take(rounds).at(actions), log.logging.take(rounds).at(actions), rtol=1e-6, atol=1e-12)
    )
