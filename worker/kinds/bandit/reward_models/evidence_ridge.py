"""Ridge regression that picks its own form: linear, bilinear or random cosines, whichever the log gives most evidence.

Three Gaussian linear models of the reward, on [x, e], [x, e, x outer e] and [x, e, 200 random cosine features of
(x, e)], each with the prior precision in 10^(-1..5) of largest evidence (noise variance and intercept profiled out);
the largest evidence of the three predicts. All three are of the form constant[u] + left[u] . right[a], so their mean
under a policy takes one product a policy row: rounds x actions x features never exist.

The number of columns is bounded: more than 32 columns of x or of e enter the product as their 32 leading principal
components, the cosines are left out where their tables would exceed 256 MB, and at most 50,000 rounds are fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.expectation import Integers
from worker.kinds.bandit.policies import Floats, Policy
from worker.kinds.bandit.reward_models.crossfit import CrossFitted, assign_folds
from worker.kinds.bandit.reward_models.fitted import Bilinear

PRECISIONS = tuple(10.0**power for power in range(-1, 6))
COSINES = 200
FOLDS = 5
_CHUNK = 20_000
_COMPONENTS = 32
_FIT_ROUNDS = 50_000
_TABLE_BYTES = 256 * 2**20


@dataclass(frozen=True)
class EvidenceRidge:
    """A fitted model: `form` of the three, its prior `precision` and log `evidence`, and those of all three forms."""

    model: Bilinear
    form: str
    precision: float
    evidence: dict[str, float]

    def at(self, rounds: Integers, actions: Integers) -> Floats:
        """See `FittedReward`."""
        return self.model.at(rounds, actions)

    def under(self, policy: Policy, rounds: Integers) -> Floats:
        """See `FittedReward`."""
        return self.model.under(policy, rounds)


@dataclass(frozen=True)
class _Columns:
    """Standardised contexts x (U, d_x) and embeddings e (A, d_e), their leading parts, and the random cosines."""

    x: Floats
    e: Floats
    x_lead: Floats
    e_lead: Floats
    x_waves: Floats  # (d_x, 200)
    e_waves: Floats  # (d_e, 200)
    phases: Floats  # (200,)

    @property
    def forms(self) -> list[str]:
        forms = ["linear"]
        if self.x.shape[1] and self.e.shape[1]:
            forms.append("bilinear")
        rows = max(len(self.x), len(self.e))
        if rows * 2 * COSINES * 8 <= _TABLE_BYTES and self.x.shape[1] + self.e.shape[1] > 0:
            forms.append("cosines")
        return forms

    def design(self, form: str, rows: Integers, actions: Integers) -> Floats:
        """Features (m, p) of rounds given by context and action."""
        x, e = self.x[rows], self.e[actions]
        if form == "linear":
            return np.concatenate([x, e], axis=1)
        if form == "bilinear":
            product = self.x_lead[rows][:, :, None] * self.e_lead[actions][:, None, :]
            return np.concatenate([x, e, product.reshape(len(rows), -1)], axis=1)
        waves = (self.x @ self.x_waves + self.phases)[rows] + (self.e @ self.e_waves)[actions]
        return np.concatenate([x, e, np.sqrt(2.0) * np.cos(waves)], axis=1)

    def model(self, form: str, theta: Floats, intercept: float, context: Integers) -> Bilinear:
        """Coefficients (p,) as constant[u] + left[u] . right[a]."""
        d_x, d_e = self.x.shape[1], self.e.shape[1]
        of_x, of_e, rest = theta[:d_x], theta[d_x : d_x + d_e], theta[d_x + d_e :]
        constant = intercept + self.x @ of_x
        linear = (self.e @ of_e)[:, None]
        if form == "linear":
            return Bilinear(context, constant, None, linear)
        ones = np.ones((len(self.x), 1))
        if form == "bilinear":
            left = self.x_lead @ rest.reshape(self.x_lead.shape[1], -1)
            return Bilinear(
                context, constant, np.concatenate([ones, left], 1), np.concatenate([linear, self.e_lead], 1)
            )
        # cos(a + b) = cos a cos b - sin a sin b parts context and action.
        of_context, of_action = self.x @ self.x_waves + self.phases, self.e @ self.e_waves
        scaled = np.sqrt(2.0) * rest
        left = np.concatenate([ones, scaled * np.cos(of_context), -scaled * np.sin(of_context)], axis=1)
        return Bilinear(context, constant, left, np.concatenate([linear, np.cos(of_action), np.sin(of_action)], axis=1))


def fit(
    log: BanditLog, rounds: Integers, *, weight: Floats | None = None, ctx: Context | None = None, seed: int = 0
) -> EvidenceRidge:
    """Fit to rounds (m,) of a log under sample weights (m,).

    Raises `embedding_required` where neither contexts nor actions have features.
    """
    if log.contexts.shape[1] == 0 and log.embeddings is None:
        raise JobError("embedding_required", "This reward model needs context features or action embeddings.")
    rng = np.random.default_rng(seed if ctx is None else ctx.seed)
    each: Floats = np.ones(len(rounds)) if weight is None else weight
    if len(rounds) > _FIT_ROUNDS:
        kept = np.sort(rng.choice(len(rounds), _FIT_ROUNDS, replace=False))
        rounds, each = rounds[kept], each[kept]
    each = each * (len(each) / each.sum())
    columns = _columns(log, rounds, rng)
    rows, actions, reward = log.rows[rounds], log.action[rounds], log.reward[rounds]
    best: tuple[float, str, float, Floats, float] | None = None
    found: dict[str, float] = {}
    for step, form in enumerate(columns.forms):
        if ctx is not None:
            ctx.progress(step, len(columns.forms), phase="reward model")
        evidence, precision, theta, intercept = _largest_evidence(columns.design(form, rows, actions), reward, each)
        found[form] = evidence
        if best is None or evidence > best[0]:
            best = evidence, form, precision, theta, intercept
    assert best is not None  # noqa: S101 - the linear form is always tried
    _, form, precision, theta, intercept = best
    return EvidenceRidge(columns.model(form, theta, intercept, log.rows), form, precision, found)


def _largest_evidence(design: Floats, reward: Floats, weight: Floats) -> tuple[float, float, Floats, float]:
    """(log evidence, prior precision, coefficients, intercept) over the grid, from one eigendecomposition.

    With coefficients N(0, s^2 / precision) and noise N(0, s^2 / weight), s^2 at its most likely value:
    log evidence = 1/2 sum_j log(precision / (g_j + precision)) - n/2 log(residual / n) up to a constant, where
    g_j are the eigenvalues of the centred Gram matrix and residual = y'y - sum_j (u_j' Z'y)^2 / (g_j + precision).
    """
    n = len(reward)
    centre, mean = weight @ design / n, float(weight @ reward / n)
    gram = _gram(design, weight) - n * np.outer(centre, centre)
    cross = design.T @ (weight * reward) - n * mean * centre
    total = max(float(weight @ (reward - mean) ** 2), 0.0)
    return _best_precision(gram, cross, total, n, centre, mean)


def _gram(design: Floats, weight: Floats) -> Floats:
    half = design if np.all(weight == 1.0) else design * np.sqrt(weight)[:, None]
    return half.T @ half  # one array twice: BLAS computes half of the product


def _best_precision(
    gram: Floats, cross: Floats, total: float, n: float, centre: Floats, mean: float
) -> tuple[float, float, Floats, float]:
    """The grid from the centred Gram matrix, the centred products with the reward and its sum of squares."""
    values, vectors = np.linalg.eigh(gram)
    values = np.maximum(values, 0.0)
    along = vectors.T @ cross
    best = (-np.inf, PRECISIONS[0], np.zeros(len(cross)))
    for precision in PRECISIONS:
        residual = max(total - float(np.sum(along**2 / (values + precision))), 1e-12 * max(total, 1e-12))
        shrink = float(np.sum(np.log(precision / (values + precision))))
        evidence = 0.5 * shrink - 0.5 * n * np.log(residual / n)
        if evidence > best[0]:
            best = (evidence, precision, along / (values + precision))
    theta = vectors @ best[2]
    return float(best[0]), best[1], theta, mean - float(centre @ theta)


def crossfit(
    log: BanditLog,
    policies: Mapping[str, Policy],
    folds: int = FOLDS,
    seed: int = 0,
    ctx: Context | None = None,
) -> CrossFitted:
    """Predictions of models that have not seen the round: what the path's bias and PC-SNDR need.

    The form is chosen on all rounds, precision and coefficients without the fold (of whole users or contexts), from
    the difference of Gram matrices: ten folds cost little more than one fit. In-sample predictions shrink residuals
    and pull PC-SNDR away from SNIPS even where the log is rich, which costs up to twice the error there.
    """
    fold = assign_folds(log, folds, seed)
    folds = int(fold.max()) + 1
    whole = fit(log, np.arange(log.n), weight=log.round_weight, ctx=ctx, seed=seed)
    models = (
        [whole.model] if folds == 1 else _fold_models(log, whole.form, fold, folds, seed if ctx is None else ctx.seed)
    )
    q_logged = np.empty(log.n)
    dm = {name: np.empty(log.n) for name in policies}
    shared = models[0].right[:, 1:]
    columns = np.concatenate([*(model.right[:, :1] for model in models), shared], axis=1)
    means = {name: policy.table.times(columns) for name, policy in policies.items()}
    for k, model in enumerate(models):
        for held in _chunks(np.flatnonzero(fold == k)):
            q_logged[held] = model.at(held, log.action[held])
            for name, policy in policies.items():
                rows = policy.rows[held]
                mean = np.concatenate([means[name][rows, k : k + 1], means[name][rows, folds:]], axis=1)
                dm[name][held] = model.given_mean(mean, np.arange(len(held)), held)
        if ctx is not None:
            ctx.progress(k + 1, folds, phase="reward model")
    return CrossFitted(q_logged, dm, folds, fold, tuple(models))


def _chunks(rounds: Integers) -> list[Integers]:
    return [rounds[start : start + _CHUNK] for start in range(0, len(rounds), _CHUNK)]


def _fold_models(log: BanditLog, form: str, fold: Integers, folds: int, seed: int) -> list[Bilinear]:
    """One model a fold, fitted on the others' rounds, on the same columns as the model of all rounds."""
    rng = np.random.default_rng(seed)
    rounds = np.arange(log.n)
    if log.n > _FIT_ROUNDS:
        rounds = np.sort(rng.choice(log.n, _FIT_ROUNDS, replace=False))
    columns = _columns(log, rounds, rng)
    design = columns.design(form, log.rows[rounds], log.action[rounds])
    weight = log.round_weight[rounds]
    weight = weight * (len(weight) / weight.sum())
    reward = log.reward[rounds]
    design = np.concatenate([design, np.ones((len(rounds), 1)), reward[:, None]], axis=1)
    moments = np.stack([_gram(design[chosen], weight[chosen]) for chosen in (fold[rounds] == k for k in range(folds))])
    every = moments.sum(axis=0)
    models: list[Bilinear] = []
    for of_fold in moments:
        kept = every - of_fold
        n, centre, mean = float(kept[-2, -2]), kept[-2, :-2] / kept[-2, -2], float(kept[-2, -1] / kept[-2, -2])
        gram = kept[:-2, :-2] - n * np.outer(centre, centre)
        total = max(float(kept[-1, -1]) - n * mean * mean, 0.0)
        cross = kept[:-2, -1] - n * mean * centre
        _, _, theta, intercept = _best_precision(gram, cross, total, n, centre, mean)
        models.append(columns.model(form, theta, intercept, log.rows))
    return models


def _columns(log: BanditLog, rounds: Integers, rng: np.random.Generator) -> _Columns:
    x = _standard(log.contexts, np.bincount(log.rows[rounds], minlength=len(log.contexts)).astype(np.float64))
    embeddings = np.zeros((log.n_actions, 0), np.float32) if log.embeddings is None else log.embeddings
    e = _standard(embeddings, np.ones(log.n_actions))
    scale = 1.0 / np.sqrt(max(x.shape[1] + e.shape[1], 1))
    return _Columns(
        x,
        e,
        _leading(x),
        _leading(e),
        scale * rng.standard_normal((x.shape[1], COSINES)),
        scale * rng.standard_normal((e.shape[1], COSINES)),
        rng.uniform(0, 2 * np.pi, COSINES),
    )


def _standard(features: np.ndarray, weight: Floats) -> Floats:
    wide = features.astype(np.float64)
    wide -= weight @ wide / weight.sum()
    spread = np.sqrt(weight @ (wide * wide) / weight.sum())
    return wide * np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-9)


def _leading(standard: Floats) -> Floats:
    """The 32 leading principal components (rescaled to unit variance) of wide tables, narrow ones as they are."""
    if standard.shape[1] <= _COMPONENTS:
        return standard
    values, vectors = np.linalg.eigh(standard.T @ standard / len(standard))
    kept = vectors[:, -_COMPONENTS:]
    return standard @ kept / np.sqrt(np.maximum(values[-_COMPONENTS:], 1e-12))
