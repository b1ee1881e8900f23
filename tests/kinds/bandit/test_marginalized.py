"""MIPS, its posterior form, MDR, and the choice of embedding dimensions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from sklearn.naive_bayes import CategoricalNB

from worker.kinds.bandit.estimators.doubly_robust import dr
from worker.kinds.bandit.estimators.importance import ips, snips
from worker.kinds.bandit.estimators.marginalized import (
    LogisticPosterior,
    NaiveBayes,
    embedding_direct,
    marginal_weight,
    posterior_weight,
    select_embedding,
)
from worker.kinds.bandit.estimators.per_round import Terms
from worker.kinds.bandit.policies import Policy, SparseTable, dense
from worker.kinds.bandit.selection.slope import half_width, slope_pp

MU = np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1], [0.25, 0.25, 0.5]])
PI = np.array([[0.1, 0.1, 0.8], [0.6, 0.3, 0.1], [0.3, 0.3, 0.4], [0, 0.5, 0.5]])
R = np.array([1, 0, 1, 0.5])
GIVEN = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
CODES = np.array([0, 1, 0, 1])
MODEL = np.array([[0.4, 0.5], [0.3, 0.25], [0.6, 0.7], [0.15, 0.55]])


def test_mips_on_the_worked_log_equals_the_worked_values():
    weight = marginal_weight(dense(MU), dense(PI), CODES[:, None], [GIVEN])
    terms = Terms(R, weight)
    assert ips(terms).value == pytest.approx(0.4607409381663113, abs=1e-12)
    assert snips(terms).value == pytest.approx(0.6573378709812346, abs=1e-12)
    direct = embedding_direct(dense(PI), [GIVEN], np.zeros(4), [MODEL])
    mdr = dr(replace(terms, q_logged=MODEL[np.arange(4), CODES], dm=direct))
    assert mdr.value == pytest.approx(0.5553588752665245, abs=1e-12)


class Exact:
    """The true posterior of the logged action given (x, e)."""

    def __init__(self, mu, given, embedding):
        self.states = np.arange(len(mu))
        joint = mu.copy()
        for d, table in enumerate(given):
            joint = joint * table[:, embedding[:, d]].T
        self.table = joint / joint.sum(axis=1, keepdims=True)

    def at(self, states, actions):
        return self.table[states, actions]

    def block(self, states):
        return self.table[states]


def random_case(n: int = 300, n_actions: int = 12, seed: int = 0):
    rng = np.random.default_rng(seed)
    mu, pi = rng.dirichlet(np.ones(n_actions), (2, n))
    given = [rng.dirichlet(np.ones(k), n_actions) for k in (3, 4)]
    embedding = np.column_stack([rng.integers(0, 3, n), rng.integers(0, 4, n)])
    return mu, pi, given, embedding


def test_posterior_form_when_exact_equals_the_marginal_form():
    mu, pi, given, embedding = random_case()
    marginal = marginal_weight(dense(mu), dense(pi), embedding, given)
    posterior = posterior_weight(dense(mu), dense(pi), Exact(mu, given, embedding))
    np.testing.assert_allclose(posterior, marginal, rtol=1e-12)


def test_dimensions_are_multiplied_inside_the_sum_over_actions():
    mu, pi, given, embedding = random_case()
    joint = given[0][:, embedding[:, 0]].T * given[1][:, embedding[:, 1]].T
    want = (pi * joint).sum(axis=1) / (mu * joint).sum(axis=1)
    np.testing.assert_allclose(marginal_weight(dense(mu), dense(pi), embedding, given), want, rtol=1e-12)
    outside = np.prod([marginal_weight(dense(mu), dense(pi), embedding[:, [d]], [given[d]]) for d in (0, 1)], axis=0)
    assert np.abs(outside - want).max() > 0.01


def test_marginal_weight_when_policies_are_sparse_or_blocks_small_is_the_same(monkeypatch):
    mu, pi, given, embedding = random_case()
    pi = np.where(pi > np.median(pi), pi, 0)
    pi /= pi.sum(axis=1, keepdims=True)
    few = Policy(SparseTable(sparse.csr_array(pi)))
    want = marginal_weight(dense(mu), dense(pi), embedding, given)
    np.testing.assert_allclose(marginal_weight(dense(mu), few, embedding, given), want, rtol=1e-12)
    exact = Exact(mu, given, embedding)
    np.testing.assert_allclose(posterior_weight(dense(mu), few, exact), want, rtol=1e-12)
    monkeypatch.setattr("worker.kinds.bandit.expectation.BLOCK_BYTES", 500)
    np.testing.assert_allclose(marginal_weight(dense(mu), dense(pi), embedding, given), want, rtol=1e-12)


def test_naive_bayes_posterior_equals_that_of_scikit_learn():
    rng = np.random.default_rng(5)
    actions, embedding = rng.integers(0, 6, 200), rng.integers(0, 4, (200, 3))
    actions[actions == 3] = 2  # an action never logged
    ours = NaiveBayes.fit(embedding, actions, 7)
    theirs = CategoricalNB(min_categories=embedding.max(axis=0) + 1).fit(embedding, actions)
    want = np.zeros((200, 7))
    want[:, theirs.classes_] = theirs.predict_proba(embedding)
    np.testing.assert_allclose(ours.block(ours.states), want, atol=1e-12)
    np.testing.assert_allclose(ours.at(ours.states, actions), want[np.arange(200), actions], atol=1e-12)


def embedded_log(n: int, seed: int, context: bool):
    """Actions with noisy embeddings; mu depends on the context only when asked."""
    rng = np.random.default_rng(seed)
    n_actions = 6
    x = rng.normal(size=(n, 1))
    scores = rng.normal(size=n_actions) + (x * rng.normal(size=n_actions) if context else 0 * x)
    mu = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    pi = mu[:, ::-1].copy()
    actions = (mu.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    given = np.full((n_actions, 3), 0.1)
    given[np.arange(n_actions), np.arange(n_actions) // 2] = 0.8
    codes = (given[actions].cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return x, mu, pi, actions, codes[:, None], given


@pytest.mark.parametrize("with_context", [False, True])
def test_fitted_posteriors_on_a_long_log_come_near_the_true_weights(with_context):
    x, mu, pi, actions, embedding, given = embedded_log(8000, 6, with_context)
    want = marginal_weight(dense(mu), dense(pi), embedding, [given])
    if with_context:
        posterior = LogisticPosterior.fit(x, embedding, actions, 6)
    else:
        posterior = NaiveBayes.fit(embedding, actions, 6)
    found = posterior_weight(dense(mu), dense(pi), posterior)
    assert np.corrcoef(found, want)[0, 1] > 0.98
    assert found.mean() == pytest.approx(1.0, abs=0.05)


def test_posterior_of_actions_the_logging_policy_never_takes_counts_nothing():
    mu, pi, given, embedding = random_case()
    mu[:, 0] = 0
    mu /= mu.sum(axis=1, keepdims=True)

    class Wrong(Exact):
        def block(self, states):
            return np.full((len(states), 12), 1 / 12)

    found = posterior_weight(dense(mu), dense(pi), Wrong(mu, given, embedding))
    ratio = np.divide(pi, mu, out=np.zeros_like(pi), where=mu > 0)
    np.testing.assert_allclose(found, ratio.sum(axis=1) / 12, rtol=1e-12)


def test_mdr_direct_part_additive_over_dimensions_equals_the_sum_over_joint_categories():
    _, pi, given, _ = random_case()
    first, second = np.array([0.1, 0.4, 0.2]), np.random.default_rng(7).random((300, 4))
    joint = np.einsum("na,aj,ak->njk", pi, given[0], given[1])
    want = (joint * (first[None, :, None] + second[:, None, :])).sum(axis=(1, 2)) + 0.3
    found = embedding_direct(dense(pi), given, np.full(300, 0.3), [first, second])
    np.testing.assert_allclose(found, want, rtol=1e-12)


def test_selection_of_dimensions_returns_the_last_accepted_candidate():
    rng = np.random.default_rng(8)
    reward = rng.random(2000)
    weights = {(0, 1): rng.lognormal(-2, 2, 2000), (0,): rng.lognormal(-0.125, 0.5, 2000), (1,): np.full(2000, 0.01)}
    estimate, kept = select_embedding(Terms(reward, reward), 2, weights.__getitem__, slope_pp, half_width=half_width)
    assert kept == (0,)
    assert estimate.value == pytest.approx((weights[(0,)] * reward).mean(), rel=1e-12)
