"""One policy in four forms answers every question alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from worker.kinds.bandit import policies
from worker.kinds.bandit.policies import DenseTable, Policy, ScorerTable, SparseTable

U, A, N = 7, 9, 40


@pytest.fixture
def probabilities(rng: np.random.Generator) -> np.ndarray:
    drawn = rng.random((U, A)) * (rng.random((U, A)) < 0.4)
    drawn[:, 2] += 0.1
    return drawn / drawn.sum(axis=1, keepdims=True)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def agree(first: Policy, second: Policy, rng: np.random.Generator) -> None:
    n = first.n_rounds
    actions, several = rng.integers(A, size=n), rng.integers(A, size=(n, 3))
    features, rounds = rng.normal(size=(A, 2)), rng.permutation(n)[:5]
    np.testing.assert_allclose(first.at(actions), second.at(actions), rtol=0, atol=1e-12)
    np.testing.assert_allclose(first.gather(several), second.gather(several), rtol=0, atol=1e-12)
    np.testing.assert_allclose(first.times(features), second.times(features), rtol=0, atol=1e-12)
    np.testing.assert_allclose(first.dense(rounds), second.dense(rounds), rtol=0, atol=1e-12)
    np.testing.assert_allclose(first.take(rounds).at(actions[rounds]), second.at(actions)[rounds], rtol=0, atol=1e-12)


def test_sparse_when_grouped_by_context_then_equals_dense(probabilities, rng):
    index = rng.integers(U, size=N).astype(np.int32)
    agree(
        Policy(SparseTable(sparse.csr_array(probabilities)), index),
        Policy(DenseTable(probabilities), index),
        rng,
    )


def test_dense_when_every_round_has_its_row_then_needs_no_index(probabilities, rng):
    agree(Policy(DenseTable(probabilities)), Policy(DenseTable(probabilities), np.arange(U, dtype=np.int32)), rng)


def test_uniform_equals_its_written_out_form(rng):
    agree(policies.uniform(N, A), policies.dense(np.full((N, A), 1 / A)), rng)


@pytest.mark.parametrize("epsilon", [0.0, 0.05, 1.0])
def test_epsilon_greedy_equals_its_written_out_form(epsilon, rng):
    best = rng.integers(A, size=N)
    written = np.full((N, A), epsilon / A)
    written[np.arange(N), best] += 1 - epsilon
    agree(policies.epsilon_greedy(best, A, epsilon), policies.dense(written), rng)


def test_scorer_equals_its_softmax(rng):
    contexts, weights = rng.normal(size=(N, 4)).astype(np.float32), rng.normal(size=(4, 3)).astype(np.float32)
    embeddings, bias = rng.normal(size=(A, 3)).astype(np.float32), rng.normal(size=A).astype(np.float32)
    scores = 2.0 * (contexts @ weights @ embeddings.T + bias).astype(np.float64)
    written = np.exp(scores - scores.max(axis=1, keepdims=True))
    scorer = Policy(ScorerTable(contexts, weights, embeddings, bias, beta=2.0))
    agree(scorer, policies.dense(written / written.sum(axis=1, keepdims=True)), rng)


def test_support_names_the_actions_that_can_happen(probabilities):
    rows = np.array([3, 0])
    entries = SparseTable(sparse.csr_array(probabilities)).support(rows)
    assert entries is not None
    np.testing.assert_array_equal(entries.toarray(), probabilities[rows])
    assert policies.uniform(2, A).table.support(np.array([0])) is None


def test_blocks_when_memory_is_short_then_cover_every_round_once(monkeypatch, probabilities):
    monkeypatch.setattr(policies, "BLOCK_BYTES", 8 * A * 2)
    seen = list(Policy(DenseTable(probabilities)).blocks())
    assert [len(rounds) for rounds, _ in seen] == [2, 2, 2, 1]
    np.testing.assert_array_equal(np.concatenate([block for _, block in seen]), probabilities)


def test_distinct_pairs_when_rounds_share_contexts_then_counts_sum_to_the_rounds(probabilities, rng):
    index = rng.integers(U, size=N).astype(np.int32)
    pair = Policy(DenseTable(probabilities), index)
    rounds, counts = policies.distinct_pairs(pair, pair)
    assert counts.sum() == N
    assert set(index[rounds]) == set(index)
    assert len(rounds) == len(set(index))
