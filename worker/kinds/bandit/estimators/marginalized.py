"""MIPS and its relatives: importance weights of action embeddings (Saito, Joachims 2022; MDR Shimizu, Forastiere 2023).

w_e = sum_a pi(a|x) p(e|a) / sum_a mu(a|x) p(e|a), for the logged discrete embedding e of m independent dimensions:
p(e|a) = prod_d p_d(e_d|a), multiplied *inside* the sum over actions (obp 0.5.5 multiplied sums, another estimator;
in 0.5.7 its MIPS is right, its self-normalised MIPS still does).
MIPS is `ips`, SN-MIPS `snips` and MDR `dr` on these weights; for MDR the terms' `q_logged` is q(x, e_i) and `dm` is
sum_e pi(e|x) q(x, e), which `embedding_direct` gives. Unbiased if rewards depend on actions through e alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from worker.kinds.bandit.estimators.importance import ips
from worker.kinds.bandit.estimators.per_round import PerRound, Terms
from worker.kinds.bandit.expectation import Integers, expectation
from worker.kinds.bandit.policies import BLOCK_BYTES, Floats, Policy

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

_ALL_SUBSETS = 6  # dimensions; 63 candidates, each a pass over the policies
Given = Sequence[Floats]  # p_d(e_d|a) for every dimension d: (A, K_d)


def marginal_weight(logging: Policy, target: Policy, embedding: Integers, given: Given) -> Floats:
    """w_e (n,) from known p(e|a); `embedding` (n, m) logged categories, `given` m tables (A, K_d)."""
    codes, states = np.unique(embedding, axis=0, return_inverse=True)
    value = _Given(codes, given)
    rounds = np.arange(target.n_rounds)
    return expectation(target, rounds, states, value) / expectation(logging, rounds, states, value)


class Posterior(Protocol):
    """P(logged action | state), the state being the embedding alone or the round."""

    states: Integers

    def at(self, states: Integers, actions: Integers) -> Floats:
        """Probabilities (m,) of pairs (m,), (m,)."""
        ...

    def block(self, states: Integers) -> Floats:
        """Probabilities (m, A)."""
        ...


def posterior_weight(logging: Policy, target: Policy, posterior: Posterior) -> Floats:
    """w_e (n,) = sum_a post(a|x_i, e_i) pi(a|x_i) / mu(a|x_i); actions with mu = 0 contribute 0.

    Equal to `marginal_weight` when the posterior is exact. A target with few actions a row costs n * k.
    """
    rows = logging.rows.astype(np.int64)
    states = posterior.states.astype(np.int64)
    key = rows * (int(states.max(initial=0)) + 1) + states
    _, where, codes = np.unique(key, return_index=True, return_inverse=True)
    ratio = _Ratio(logging.take(where), states[where], posterior)
    return expectation(target, np.arange(target.n_rounds), codes, ratio)


@dataclass(frozen=True)
class NaiveBayes:
    """Posterior of the logged action given e, categorical naive Bayes with add-`smoothing` counts.

    The formula of scikit-learn's CategoricalNB, kept as count tables so that no (n, A) matrix is formed. Actions that
    were never logged have posterior 0. `states` (n,): distinct embedding of every round.
    """

    states: Integers
    codes: Integers  # (D, m)
    log_prior: Floats  # (A,)
    log_given: list[Floats]  # m tables (A, K_d)
    log_total: Floats  # (D,)

    @classmethod
    def fit(
        cls,
        embedding: Integers,
        actions: Integers,
        n_actions: int,
        *,
        weight: Floats | None = None,
        smoothing: float = 1.0,
    ) -> NaiveBayes:
        """Fit to embeddings (n, m) and logged actions (n,)."""
        codes, states = np.unique(embedding, axis=0, return_inverse=True)
        counts = np.bincount(actions, weight, n_actions).astype(np.float64)
        with np.errstate(divide="ignore"):
            log_prior = np.log(counts / counts.sum())
        tables = [_smoothed(column, actions, counts, weight, smoothing) for column in embedding.T]
        unscaled = cls(states, codes, log_prior, tables, np.zeros(len(codes)))
        step = max(1, BLOCK_BYTES // (8 * n_actions))
        total = np.empty(len(codes))
        for start in range(0, len(codes), step):
            part = np.arange(start, min(start + step, len(codes)))
            total[part] = logsumexp(unscaled._scores(part), axis=1)
        return replace(unscaled, log_total=total)

    def at(self, states: Integers, actions: Integers) -> Floats:
        """See `Posterior`."""
        scores = self.log_prior[actions] - self.log_total[states]
        for d, table in enumerate(self.log_given):
            scores = scores + table[actions, self.codes[states, d]]
        return np.exp(scores)

    def block(self, states: Integers) -> Floats:
        """See `Posterior`."""
        return np.exp(self._scores(states) - self.log_total[states][:, None])

    def _scores(self, states: Integers) -> Floats:
        scores = np.tile(self.log_prior, (len(states), 1))
        for d, table in enumerate(self.log_given):
            scores += table.T[self.codes[states, d]]
        return scores


@dataclass(frozen=True)
class LogisticPosterior:
    """Posterior of the logged action given (x, e) by multinomial logistic regression; for up to a few thousand actions.

    `features` (S, p) of the distinct states; probabilities are predicted for the states asked for.
    """

    states: Integers
    features: NDArray[np.float64]
    model: LogisticRegression
    n_actions: int

    @classmethod
    def fit(cls, x: NDArray[np.floating], embedding: Integers, actions: Integers, n_actions: int) -> LogisticPosterior:
        """Fit to contexts (n, d), embeddings (n, m) and logged actions (n,)."""
        from sklearn.linear_model import LogisticRegression  # takes a second and 30 MB, for this posterior alone

        onehot = [(column[:, None] == np.unique(column)).astype(np.float64) for column in embedding.T]
        rows, states = np.unique(np.column_stack([x.astype(np.float64), *onehot]), axis=0, return_inverse=True)
        model = LogisticRegression(max_iter=500, tol=1e-6).fit(rows[states], actions)
        return cls(states, rows, model, n_actions)

    def at(self, states: Integers, actions: Integers) -> Floats:
        """See `Posterior`."""
        distinct, place = np.unique(states, return_inverse=True)
        found = np.empty(len(states))
        step = max(1, BLOCK_BYTES // (8 * self.n_actions))
        for start in range(0, len(distinct), step):
            inside = np.flatnonzero((place >= start) & (place < start + step))
            block = self.block(distinct[start : start + step])
            found[inside] = block[place[inside] - start, actions[inside]]
        return found

    def block(self, states: Integers) -> Floats:
        """See `Posterior`."""
        whole = np.zeros((len(states), self.n_actions))
        whole[:, self.model.classes_] = self.model.predict_proba(self.features[states])
        return whole


def embedding_direct(target: Policy, given: Given, constant: Floats, parts: Sequence[Floats]) -> Floats:
    """sum_e pi(e|x_i) q(x_i, e) (n,) for q(x, e) = constant(x) + sum_d part_d(x, e_d), the `dm` of MDR.

    `constant` (n,); `parts`: per dimension (K_d,) or, where it depends on x, (n, K_d). As dimensions are independent
    given the action, the sum over e is one over each dimension's categories: no joint table. One dimension and parts
    (n, K) make any q(x, e).
    """
    total = constant.astype(np.float64)
    for table, part in zip(given, parts, strict=True):
        if part.ndim == 1:
            total = total + target.times((table @ part)[:, None])[:, 0]
        else:
            total = total + np.einsum("nk,nk->n", target.times(table), part)
    return total


def select_embedding(
    terms: Terms,
    dimensions: int,
    weight_of: Callable[[tuple[int, ...]], Floats],
    slope: Callable[[Floats, Floats], int],
    *,
    half_width: Callable[[PerRound], float],
    estimator: Callable[[Terms], PerRound] = ips,
    nested: bool = False,
) -> tuple[PerRound, tuple[int, ...]]:
    """The embedding dimensions for MIPS by SLOPE++ (section 5 of Saito, Joachims 2022): estimate, kept dimensions.

    Every non-empty subset is a candidate (up to 6 dimensions; above, one dimension is dropped at a time, always the
    one that leaves the narrowest interval). `nested` dimensions say no more together than the finest of them, so each
    alone is a candidate. Candidates go from the widest interval to the narrowest; `slope(theta, width)` gives the
    index of the last accepted one. obp 0.5.7 returns the estimate *before* the last accepted when no candidate fails;
    ours the accepted one.
    """

    def measured(subset: tuple[int, ...]) -> _Candidate:
        estimate = estimator(replace(terms, weight=weight_of(subset)))
        return _Candidate(subset, estimate.value, half_width(estimate))  # not the estimate: it holds every round

    every = tuple(range(dimensions))
    if nested:
        found = [measured((d,)) for d in every]
    elif dimensions <= _ALL_SUBSETS:
        found = [measured(s) for size in range(dimensions, 0, -1) for s in combinations(every, size)]
    else:
        found = [measured(every)]
        while len(left := found[-1].subset) > 1:
            found.append(min((measured(s) for s in combinations(left, len(left) - 1)), key=lambda one: one.width))
    found.sort(key=lambda one: -one.width)
    kept = found[slope(np.array([one.value for one in found]), np.array([one.width for one in found]))].subset
    return estimator(replace(terms, weight=weight_of(kept))), kept


@dataclass(frozen=True)
class _Candidate:
    subset: tuple[int, ...]
    value: float
    width: float


@dataclass(frozen=True)
class _Given:
    codes: Integers  # (D, m)
    given: Given

    def at(self, states: Integers, actions: Integers) -> Floats:
        found = np.ones(len(states))
        for d, table in enumerate(self.given):
            found *= table[actions, self.codes[states, d]]
        return found

    def block(self, states: Integers) -> Floats:
        found = np.ones((len(states), len(self.given[0])))
        for d, table in enumerate(self.given):
            found *= table.T[self.codes[states, d]]
        return found


@dataclass(frozen=True)
class _Ratio:
    logging: Policy  # on the distinct (logging row, posterior state) pairs
    states: Integers
    posterior: Posterior

    def at(self, states: Integers, actions: Integers) -> Floats:
        logged = self.logging.take(states).at(actions)
        posterior = self.posterior.at(self.states[states], actions)
        return np.divide(posterior, logged, out=np.zeros(len(states)), where=logged > 0)

    def block(self, states: Integers) -> Floats:
        logged = self.logging.dense(states)
        posterior = self.posterior.block(self.states[states])
        return np.divide(posterior, logged, out=np.zeros(logged.shape), where=logged > 0)


def _smoothed(column: Integers, actions: Integers, counts: Floats, weight: Floats | None, smoothing: float) -> Floats:
    width = int(column.max()) + 1
    cells = np.bincount(actions.astype(np.int64) * width + column, weight, len(counts) * width)
    table = cells.reshape(len(counts), width) + smoothing
    return np.log(table / table.sum(axis=1, keepdims=True))
