"""Semi-synthetic logs with a known truth: from ratings, and from classified data.

Interactions: the ratings of the most popular items are fitted by damped biases (shrinkage 5) and factors of the
residuals (alternating least squares, ridge 5, 5 sweeps). Rank 32 is the truth; the embeddings that estimators see come
from another factorisation of rank 16, so that no estimator is handed the truth. Classified data: the classes are the
actions, the right one pays 1 (Dudik, Langford, Li 2011); probabilities up to a threshold can be cut, which makes the
deficient support of arXiv:2006.09438.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import svds

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.ingest.upload import Upload
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.policies import DenseTable, Policy, epsilon_greedy
from worker.kinds.bandit.policy_files import compact
from worker.kinds.bandit.truth import Truth
from worker.kinds.bandit.upload.dictionary import check_dense
from worker.kinds.bandit.upload.options import IngestOptions
from worker.kinds.bandit.upload.propensity import fit_logistic
from worker.kinds.bandit.upload.simulated_from import read_classes, read_ratings
from worker.numerics.distinct import distinct_rows

TRUTH_RANK, SEEN_RANK = 32, 16
_SHRINKAGE, _RIDGE, _SWEEPS = 5.0, 5.0, 5
_LOW, _HIGH = 0.01, 0.99
_CELLS = 50_000_000  # users x items of the truth
_FITTED_ON, _LABELS = 0.3, 400  # share of a classified table that only classifiers see; rows for the logging policy
_svds: Any = svds
Matrix = Any  # scipy's csr_array, whose types leave its shape open
Built = tuple[BanditLog, dict[str, Any], dict[str, Any]]


@dataclass(frozen=True)
class Factors:
    """A rating model: mean + user bias + item bias + user factors . item factors."""

    mean: float
    user_bias: NDArray[np.float64]
    item_bias: NDArray[np.float64]
    user: NDArray[np.float64]
    item: NDArray[np.float64]

    @property
    def predictions(self) -> NDArray[np.float64]:
        """Predicted rating of every user and item (U, I)."""
        return self.mean + self.user_bias[:, None] + self.item_bias + self.user @ self.item.T


def factorise(ratings: Matrix, rank: int, seed: int, ctx: Context) -> Factors:
    """Damped biases and ALS on the residuals of the stored ratings."""
    n_users, n_items = ratings.shape
    rank = max(1, min(rank, n_users - 1, n_items - 1))
    entries = ratings.tocoo()
    row, column, value = entries.row, entries.col, entries.data.astype(np.float64)
    mean = float(value.mean())
    item_bias = np.bincount(column, value - mean, n_items) / (np.bincount(column, minlength=n_items) + _SHRINKAGE)
    rest = value - mean - item_bias[column]
    user_bias = np.bincount(row, rest, n_users) / (np.bincount(row, minlength=n_users) + _SHRINKAGE)
    by_user: Matrix = sparse.csr_array((rest - user_bias[row], (row, column)), ratings.shape)
    by_item = by_user.T.tocsr()
    rng = np.random.default_rng([seed, rank])
    item = rng.normal(0, 0.1, (n_items, rank))
    user = np.zeros((n_users, rank))
    for sweep in range(_SWEEPS):
        user = _solve(by_user, item, ctx, sweep)
        item = _solve(by_item, user, ctx, sweep)
    return Factors(mean, user_bias, item_bias, user, item)


def _solve(rows: Matrix, other: NDArray[np.float64], ctx: Context, sweep: int) -> NDArray[np.float64]:
    """One half-sweep: ridge regression of every row's residuals on the other side's factors."""
    rank = other.shape[1]
    found = np.zeros((rows.shape[0], rank))
    ridge = _RIDGE * np.eye(rank)
    for at in range(rows.shape[0]):
        if at % 500 == 0:
            ctx.progress(sweep, _SWEEPS, phase="factorise")
        part = slice(rows.indptr[at], rows.indptr[at + 1])
        seen = other[rows.indices[part]]
        found[at] = np.linalg.solve(seen.T @ seen + ridge, seen.T @ rows.data[part])
    return found


def draw(policy: Policy, rng: np.random.Generator) -> NDArray[np.int32]:
    """One action a round (n,), from dense or sparse tables of bounded size."""
    table = policy.table
    heights = table.dense(np.arange(table.n_rows)).cumsum(axis=1)
    heights /= heights[:, -1:]
    # the rows one above the other make one ascending list, searched once for all rounds
    heights += np.arange(table.n_rows)[:, None]
    wanted = policy.rows + rng.random(policy.n_rounds)
    place = np.searchsorted(heights.ravel(), wanted, side="right") - policy.rows.astype(np.int64) * table.n_actions
    return np.minimum(place, table.n_actions - 1).astype(np.int32)


def softmax(scores: NDArray[np.float64], beta: float, threshold: float) -> NDArray[np.float64]:
    """softmax(beta * scores) by rows; probabilities up to `threshold` become 0 and the rest is rescaled."""
    wide = beta * scores
    wide -= wide.max(axis=1, keepdims=True)
    np.exp(wide, out=wide)
    wide /= wide.sum(axis=1, keepdims=True)
    return cut(wide, threshold)


def cut(probabilities: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """Small probabilities become exactly 0; each row keeps its largest, whatever the threshold."""
    if threshold > 0:
        top = probabilities.max(axis=1, keepdims=True)
        probabilities = np.where((probabilities > threshold) | (probabilities == top), probabilities, 0)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities


def from_interactions(upload: Upload, given: IngestOptions, ctx: Context) -> Built:
    """A log over the most popular items: a random user comes, the logging policy shows an item, a reward is drawn."""
    ratings, users, items, detection, graded = _most_popular(upload, given, ctx)
    n_users, n_items = ratings.shape
    low, high = (float(ratings.data.min()), float(ratings.data.max())) if graded else (0.0, 1.0)
    seen = (
        factorise(ratings, SEEN_RANK, given.seed + 1, ctx) if graded else _implicit(ratings, SEEN_RANK, given.seed + 1)
    )
    whole = factorise(ratings, TRUTH_RANK, given.seed, ctx) if graded else _implicit(ratings, TRUTH_RANK, given.seed)
    imputed = np.clip((whole.predictions - low) / (high - low), _LOW, _HIGH)
    truth = imputed
    if given.simulated_rewards == "observed":
        # a lowest rating is still worth as much as no rating at all
        truth = (ratings.toarray() - low) / (high - low) * (ratings.toarray() != 0) if graded else ratings.toarray()
    rng = np.random.default_rng([given.seed, 1])
    user = np.sort(rng.integers(0, n_users, given.simulated_rounds)).astype(np.int32)
    rng.shuffle(user)
    logging = _logging(ratings, imputed, user, given)
    action = draw(logging, rng)
    expected = truth[user, action] + 0.0  # no negative zeros
    reward = (rng.random(len(user)) < expected).astype(np.float64) if given.simulated_rewards == "imputed" else expected
    log = BanditLog(
        action=action,
        reward=reward.astype(np.float64),
        propensity=logging.at(action),
        n_actions=n_items,
        contexts=np.column_stack([seen.user_bias, seen.user]).astype(np.float32),
        context_index=user,
        logging=logging,
        targets={"target": epsilon_greedy(imputed.argmax(axis=1), n_items, given.simulated_target, user)},
        embeddings=_embeddings(seen),
        user=user,
        reward_range=(0.0, 1.0),
        action_ids=items,
        truth=Truth(truth.astype(np.float32), user),
    )
    manifest = {
        "propensity_source": "simulated",
        "simulation": {
            "from": "interactions", "users": len(users), "items": n_items, "logging": given.simulate,
            "beta": _beta(given), "threshold": given.simulated_threshold, "rewards": given.simulated_rewards,
            "target_epsilon": given.simulated_target, "rating_range": [low, high],
        },
        "context_features": ["user_bias", *(f"user_factor_{k}" for k in range(seen.user.shape[1]))],
    }  # fmt: skip
    ctx.warn("The log is simulated from ratings: it is for trying methods, and its values are those of a model.")
    return log, detection | {"simulated": True, "n_actions": n_items}, manifest


def _embeddings(seen: Factors) -> NDArray[np.float32]:
    """Item factors at unit standard deviation overall, and the item's bias at standard deviation 2."""
    spread, bias = seen.item.std(), seen.item_bias.std()
    factors = seen.item / (spread if spread > 0 else 1)
    return np.column_stack([factors, 2 * seen.item_bias / (bias if bias > 0 else 1)]).astype(np.float32)


def _beta(given: IngestOptions) -> float:
    if given.simulated_beta is not None:
        return given.simulated_beta
    return -4.0 if given.simulate == "factors" else 1.0


def _logging(ratings: Matrix, imputed: NDArray[np.float64], user: NDArray[np.int32], given: IngestOptions) -> Policy:
    if given.simulate == "factors":
        return compact(Policy(DenseTable(softmax(imputed.copy(), _beta(given), given.simulated_threshold)), user))
    popular = np.log1p(np.bincount(ratings.indices, minlength=ratings.shape[1]))
    spread = popular.std()
    scores = (popular - popular.mean()) / (spread if spread > 0 else 1)
    table = softmax(scores[None, :], _beta(given), given.simulated_threshold)
    return compact(Policy(DenseTable(table), np.zeros(len(user), np.int32)))


def _implicit(ratings: Matrix, rank: int, seed: int) -> Factors:
    """For data without ratings: the 0/1 table by a truncated SVD, no biases but the items' frequencies."""
    n_users, n_items = ratings.shape
    rank = max(1, min(rank, n_users - 1, n_items - 1))
    start = np.random.default_rng([seed, rank]).normal(size=min(n_users, n_items))
    left, scale, right = _svds(ratings.astype(np.float64), k=rank, v0=start)
    frequency = np.bincount(ratings.indices, minlength=n_items) / n_users
    user, item = left * np.sqrt(scale), right.T * np.sqrt(scale)
    return Factors(0.0, np.zeros(n_users), frequency - (user.mean(axis=0) @ item.T), user, item)


def _most_popular(
    upload: Upload, given: IngestOptions, ctx: Context
) -> tuple[Matrix, NDArray[np.integer], NDArray[np.str_], dict[str, Any], bool]:
    """Mean rating of every pair among the most popular items, (U, I) CSR, with ids; whether ratings differ at all."""
    users, items, rating, detection = read_ratings(upload, given)
    user, user_words, item, item_words = users.codes, users.words, items.codes, items.words
    value = np.ones(len(user)) if rating is None else rating
    counts = np.bincount(item, minlength=len(item_words))
    kept = np.sort(np.argsort(-counts, kind="stable")[: given.simulated_actions])
    most_users = max(2, _CELLS // max(1, len(kept)))
    rank = np.full(len(item_words), -1, np.int64)
    rank[kept] = np.arange(len(kept))
    there = np.flatnonzero(np.bincount(user[rank[item] >= 0], minlength=len(user_words)))
    if len(there) > most_users:
        ctx.warn(f"{most_users:,} of {len(there):,} users were drawn for the simulation.")
        there = np.sort(np.random.default_rng(given.seed).choice(there, most_users, replace=False))
    place = np.full(len(user_words), -1, np.int64)
    place[there] = np.arange(len(there))
    fits = (rank[item] >= 0) & (place[user] >= 0)
    row, column = place[user[fits]], rank[item[fits]]
    if len(there) < 2 or len(kept) < 2:
        raise JobError(
            "too_few_rounds", f"A simulation needs 2 users and 2 items; there are {len(there)} and {len(kept)}."
        )
    shape = (len(there), len(kept))
    total: Matrix = sparse.csr_array((value[fits], (row, column)), shape)
    times: Matrix = sparse.csr_array((np.ones(len(row)), (row, column)), shape)
    total.sum_duplicates()
    times.sum_duplicates()
    graded = rating is not None and float(np.ptp(value)) > 0
    total.data = total.data / times.data if graded else np.ones_like(total.data)
    ids = np.asarray(item_words.to_pylist(), dtype=str)[kept]
    return total, there, ids, detection, graded


def from_classes(upload: Upload, given: IngestOptions, ctx: Context) -> Built:
    """A log from classified data: the logging policy guesses the class of every row; a right guess has reward 1."""
    inputs, label, detection, names = read_classes(upload, given)
    n, n_actions = len(inputs), len(label.words)
    if n_actions < 2 or n < 100:
        raise JobError(
            "too_few_rounds",
            f"{n:,} rows of {n_actions} classes; at least 100 rows of 2 classes are needed.",
            pointer="/columns/label",
        )
    check_dense(min(n, given.simulated_rounds), n_actions, "The truth of the simulation")
    spread = inputs.std(axis=0, dtype=np.float64)
    inputs = ((inputs - inputs.mean(axis=0, dtype=np.float64)) / np.where(spread > 1e-12, spread, 1)).astype(np.float32)
    rng = np.random.default_rng([given.seed, 2])
    order = rng.permutation(n)
    fitted, rest = order[: int(_FITTED_ON * n)], order[int(_FITTED_ON * n) :]
    again = given.simulated_rounds > len(rest)
    rows = rng.choice(rest, given.simulated_rounds) if again else rest[: given.simulated_rounds]
    few = fitted[: max(_LABELS, 2 * n_actions)]
    scores = _scores(inputs, label.codes, few, rows, n_actions, ctx)
    best = _scores(inputs, label.codes, fitted, rows, n_actions, ctx).argmax(axis=1)
    logging = _guesses(scores, given, n_actions)
    action = draw(logging, rng)
    truth = np.zeros((len(rows), n_actions), np.float32)
    truth[np.arange(len(rows)), label.codes[rows]] = 1
    first, index = distinct_rows(truth)
    log = BanditLog(
        action=action,
        reward=truth[np.arange(len(rows)), action].astype(np.float64),
        propensity=logging.at(action),
        n_actions=n_actions,
        contexts=inputs[rows],
        logging=logging,
        targets={"target": epsilon_greedy(best, n_actions, given.simulated_target)},
        reward_range=(0.0, 1.0),
        action_ids=np.asarray(label.words.to_pylist(), dtype=str),
        truth=Truth(truth[first], index),
    )
    manifest = {
        "propensity_source": "simulated",
        "simulation": {
            "from": "classes", "classes": n_actions, "logging": given.multiclass_to_bandit,
            "alpha": given.simulated_alpha, "beta": _beta(given), "threshold": given.simulated_threshold,
            "logging_labels": len(few),
            "target_epsilon": given.simulated_target,
        },
        "context_features": names,
    }  # fmt: skip
    if again:
        ctx.warn(f"{given.simulated_rounds:,} rounds were drawn from {len(rest):,} rows, so rows come back.")
    return log, detection | {"simulated": True, "n_actions": n_actions}, manifest


def _scores(
    inputs: NDArray[np.float32], label: NDArray[np.int32], fitted: NDArray[np.integer], rows: NDArray[np.integer],
    n_actions: int, ctx: Context,
) -> NDArray[np.float64]:  # fmt: skip
    """Log-odds of every class for `rows`, of a logistic model of the rows `fitted`."""
    design = np.column_stack([np.ones(len(fitted)), inputs[fitted].astype(np.float64)])
    weights = fit_logistic(design, label[fitted], np.ones(len(fitted)), n_actions, ctx)
    return weights[0] + inputs[rows].astype(np.float64) @ weights[1:]


def _guesses(scores: NDArray[np.float64], given: IngestOptions, n_actions: int) -> Policy:
    """Mixture: alpha on the classifier's choice and the rest spread over all classes; or a softmax."""
    if given.multiclass_to_bandit == "softmax":
        return compact(Policy(DenseTable(softmax(scores, _beta(given), given.simulated_threshold))))
    if given.simulated_threshold == 0:
        return epsilon_greedy(scores.argmax(axis=1), n_actions, 1 - given.simulated_alpha)
    table = np.full(scores.shape, (1 - given.simulated_alpha) / n_actions)
    table[np.arange(len(scores)), scores.argmax(axis=1)] += given.simulated_alpha
    return compact(Policy(DenseTable(cut(table, given.simulated_threshold))))
