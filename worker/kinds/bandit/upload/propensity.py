"""The probability of every logged choice: given, read off the logging policy, or estimated; and checked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit.policies import DenseTable, Policy, ScorerTable

TOLERANCE = 1e-6  # relative difference of a propensity from the logging policy's probability
_ABOVE = 1e-9
_FITTED_ROUNDS, _FITTED_NUMBERS, _FITTED_ACTIONS = 50_000, 50_000, 500
_DENSE_BYTES = 64_000_000


def check(propensity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Propensities in (0, 1]; raises `propensity_missing`, `propensity_nonpositive` or `propensity_above_one`."""
    missing = np.isnan(propensity)
    if missing.any():
        raise JobError(
            "propensity_missing",
            f"{int(missing.sum()):,} rounds have no propensity, the first is row {int(np.argmax(missing)) + 1:,}.",
            hint="Remove these rounds; or leave the column out and set estimate_propensity.",
            pointer="/columns/propensity",
        )
    for code, wrong, must in (
        ("propensity_nonpositive", propensity <= 0, "above 0: what was chosen had some probability"),
        ("propensity_above_one", propensity > 1 + _ABOVE, "at most 1: are they percentages, or inverse already?"),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            raise JobError(
                code,
                f"The propensity in row {row + 1:,} is {propensity[row]:g} ({int(wrong.sum()):,} such rows).",
                hint=f"Propensities are {must}.",
                pointer="/columns/propensity",
            )
    return np.minimum(propensity, 1.0)


def of_policy(logging: Policy, action: NDArray[np.int32]) -> NDArray[np.float64]:
    """The logging policy's probability of every logged action; refuses actions that it never takes."""
    found = logging.at(action)
    if (found <= 0).any():
        row = int(np.argmax(found <= 0))
        raise JobError(
            "propensity_nonpositive",
            f"The logging policy gives probability 0 to the action of row {row + 1:,}, yet it was logged "
            f"({int((found <= 0).sum()):,} such rows).",
            hint="Check that the policy's rows and the log's rounds are in the same order.",
            pointer="/files",
        )
    return np.minimum(found, 1.0)


def check_match(propensity: NDArray[np.float64], logging: Policy, action: NDArray[np.int32]) -> None:
    """Refuse propensities that differ from the logging policy by more than a millionth."""
    expected = logging.at(action)
    off = np.abs(propensity - expected) > TOLERANCE * np.maximum(propensity, expected)
    if off.any():
        row = int(np.argmax(off))
        raise JobError(
            "propensity_mismatch",
            f"Row {row + 1:,} has the propensity {propensity[row]:.8g}, but the logging policy gives "
            f"{expected[row]:.8g} ({int(off.sum()):,} of {len(off):,} rows differ).",
            hint="Check the order of rounds and the numbering of actions; or leave the propensity column out.",
            pointer="/columns/propensity",
        )


def estimate(
    action: NDArray[np.int32],
    contexts: NDArray[np.float32],
    rows: NDArray[np.int32],
    n_actions: int,
    weight: NDArray[np.float64] | None,
    ctx: Context,
) -> Policy:
    """The logging policy as a multinomial logistic model of the action given the context, ridge 1.

    Fitted on at most 50,000 rounds by L-BFGS. Where actions times columns exceed 50,000 or there are above 500
    actions, only the frequencies of the actions are used (with half a round added to each).
    """
    width = contexts.shape[1]
    if not width or n_actions > _FITTED_ACTIONS or (width + 1) * n_actions > _FITTED_NUMBERS:
        counts = np.bincount(action, weight, n_actions) + 0.5
        return Policy(DenseTable((counts / counts.sum())[None, :]), np.zeros(len(action), np.int32))
    chosen = np.arange(len(action))
    if len(chosen) > _FITTED_ROUNDS:
        chosen = np.sort(np.random.default_rng(0).choice(len(action), _FITTED_ROUNDS, replace=False))
    mean, spread = contexts.mean(axis=0, dtype=np.float64), contexts.std(axis=0, dtype=np.float64)
    scale = np.where(spread > 1e-12, spread, 1.0)
    inputs = np.column_stack([np.ones(len(chosen)), (contexts[rows[chosen]] - mean) / scale])
    share = np.ones(len(chosen)) if weight is None else weight[chosen]
    solved = fit_logistic(inputs, action[chosen], share, n_actions, ctx)
    weights = solved[1:] / scale[:, None]
    bias = solved[0] - mean @ weights
    identity = np.eye(n_actions, dtype=np.float32)
    scorer = ScorerTable(contexts, weights.astype(np.float32), identity, bias.astype(np.float32))
    if scorer.n_rows * n_actions * 8 <= _DENSE_BYTES:
        return Policy(DenseTable(scorer.dense(np.arange(scorer.n_rows))), rows)
    return Policy(scorer, rows)


def fit_logistic(
    inputs: NDArray[np.float64], action: NDArray[np.int32], share: NDArray[np.float64], n_actions: int, ctx: Context
) -> NDArray[np.float64]:
    """Coefficients (1 + d, A) of the logistic model; the intercept is not penalised."""
    n, width = inputs.shape
    calls = 0

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal calls
        calls += 1
        ctx.progress(min(calls, 100), 100, phase="propensity")
        weights = flat.reshape(width, n_actions)
        scores = inputs @ weights
        scores -= scores.max(axis=1, keepdims=True)
        logged = scores[np.arange(n), action]
        np.exp(scores, out=scores)
        total = scores.sum(axis=1)
        scores /= total[:, None]
        value = float(share @ (np.log(total) - logged))
        scores[np.arange(n), action] -= 1
        gradient = inputs.T @ (scores * share[:, None])
        gradient[1:] += weights[1:]
        return value + 0.5 * float((weights[1:] ** 2).sum()), gradient.ravel()

    counts = np.bincount(action, share, n_actions) + 0.5
    start = np.zeros((width, n_actions))
    start[0] = np.log(counts / counts.sum())
    solved = optimize.minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 100, "maxcor": 10})
    return np.asarray(solved.x).reshape(width, n_actions)
