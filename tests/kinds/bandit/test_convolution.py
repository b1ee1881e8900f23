from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import sparse

from worker.contract.errors import JobError
from worker.kinds.bandit.convolution import FAMILIES, Convolution, Family, convolution, logged
from worker.kinds.bandit.convolution import smoothing as smoothing_module
from worker.kinds.bandit.convolution.neighbours import action_points, nearest
from worker.kinds.bandit.convolution.tree import TreePath, _halved, tree
from worker.kinds.bandit.convolution.weights import path_weights
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimators.doubly_robust import dr, offcem, sndr
from worker.kinds.bandit.estimators.group_ips import group_weight
from worker.kinds.bandit.estimators.importance import ips, snips
from worker.kinds.bandit.estimators.per_round import Terms
from worker.kinds.bandit.policies import Policy, ScorerTable, SparseTable, dense, epsilon_greedy, uniform

MU = np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6], [0.1, 0.8, 0.1], [0.25, 0.25, 0.5]])
PI = np.array([[0.1, 0.1, 0.8], [0.6, 0.3, 0.1], [0.3, 0.3, 0.4], [0, 0.5, 0.5]])
Q = np.array([[0.6, 0.2, 0.5], [0.1, 0.4, 0.3], [0.2, 0.9, 0.5], [0.3, 0.1, 0.7]])
E = np.array([[0.0, 0], [1, 0], [0, 2]])
GROUPS = np.array([[0, 0, 1]], np.int32)
A = np.array([0, 2, 1, 2], np.int32)
R = np.array([1, 0, 1, 0.5])
I = np.arange(4)  # noqa: E741
LOG = BanditLog(A, R, MU[I, A], 3, np.zeros((4, 0), np.float32), logging=dense(MU), embeddings=E.astype(np.float32))
TERMS = Terms(R, PI[I, A] / MU[I, A], Q[I, A], (PI * Q).sum(axis=1))


def worked(family: Family, tau: float | None, normalize: str = "mass", logging_only: bool = False) -> Terms:
    taus = None if tau is None else (tau,)
    path = convolution(family, E, GROUPS if tau is None else None, taus=taus, normalize=normalize, standardise=False)
    level = len(path.taus) - 1 if tau is not None else 1
    found = path_weights(path, LOG, dense(PI), levels=[(0 if logging_only else level, level)])
    return replace(TERMS, weight=found.weight[1])


@pytest.mark.parametrize(
    ("estimator", "terms", "value"),
    [
        (ips, worked("kernel", 1.0), 0.38215481368104576),
        (snips, worked("kernel", 1.0), 0.665466779354544),
        (dr, worked("kernel", 1.0), 0.39377095553975683),
        (sndr, worked("kernel", 1.0), 0.3854462595140206),
        (ips, worked("kernel", 1.0, "mean"), 0.36494173000803415),
        (ips, worked("kernel", 1.0, logging_only=True), 0.34679887565969963),
        (ips, worked("tree", None), 0.35416666666666663),
        (snips, worked("tree", None), 0.68),
        (dr, worked("tree", None), 0.38416666666666666),
        (sndr, worked("tree", None), 0.365),
        (ips, worked("ball", 1.0, "mean"), 0.35416666666666663),
        (ips, worked("ball", 2.0, "mean"), 0.5),
        (ips, worked("knn", 2, "mean"), 0.3125),
        (ips, worked("knn", 3), 0.625),
        (snips, worked("tree", 1), 0.625),
    ],
)
def test_smoothed_estimators_on_the_worked_example_give_its_values(estimator, terms, value):
    assert estimator(terms).value == pytest.approx(value, abs=1e-12)


def test_smoothing_matrices_on_the_worked_example_are_its_rows():
    kernel = convolution("kernel", E, taus=(1.0,), normalize="mean", standardise=False)
    rows = kernel.tables(np.eye(3), 1).T
    np.testing.assert_allclose(rows[0], [0.5740969929676946, 0.3482074278837349, 0.0776955791485706], atol=1e-12)
    knn = convolution("knn", E, taus=(2,), normalize="mean", standardise=False)
    assert knn.neighbours.ids.tolist() == [[0, 1], [1, 0], [2, 0]]


def world(n: int = 300, n_actions: int = 40, contexts: int = 12, seed: int = 0):
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(n_actions, 3)).astype(np.float32)
    index = rng.integers(contexts, size=n).astype(np.int32)
    mu = rng.dirichlet(np.ones(n_actions), size=contexts)
    pi = rng.dirichlet(np.full(n_actions, 0.3), size=contexts)
    action = np.array([rng.choice(n_actions, p=mu[u]) for u in index], np.int32)
    log = BanditLog(
        action,
        rng.random(n),
        mu[index, action],
        n_actions,
        rng.normal(size=(contexts, 2)).astype(np.float32),
        index,
        logging=dense(mu, index),
        embeddings=embeddings,
    )
    return log, dense(pi, index), mu, pi


def by_hand(path: Convolution, table: np.ndarray, level: int) -> np.ndarray:
    """Smoothed table from the whole matrix S, built column by column through another entry point."""
    n = table.shape[1]
    identity = path.tables(np.eye(n), level)  # row b is column b of S
    return table @ identity


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("normalize", ["mass", "mean"])
def test_logged_probabilities_when_computed_in_one_pass_equal_the_whole_matrices(family, normalize):
    log, target, _, pi = world()
    path = convolution(family, log.embeddings, normalize=normalize)
    found = logged(path, target, log.action)
    for level in range(len(path.taus)):
        whole = by_hand(path, pi, level)
        np.testing.assert_allclose(found[level], whole[log.rows, log.action], rtol=1e-11, atol=1e-15)
        if path.keeping_mass() is path:
            np.testing.assert_allclose(whole.sum(axis=1), 1.0, atol=1e-12)
        else:
            np.testing.assert_allclose(path.tables(np.ones((1, 40)), level), 1.0, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_policy_when_held_dense_sparse_grouped_or_scored_is_smoothed_alike(family):
    log, _, _, pi = world()
    pi = np.where(pi > 0.02, pi, 0.0)
    pi /= pi.sum(axis=1, keepdims=True)
    path = convolution(family, log.embeddings)
    grouped = logged(path, dense(pi, log.rows), log.action)
    forms = [
        dense(pi[log.rows]),
        Policy(SparseTable(sparse.csr_array(pi)), log.rows),
        Policy(SparseTable(sparse.csr_array(pi[log.rows]))),
    ]
    for policy in forms:
        np.testing.assert_allclose(logged(path, policy, log.action), grouped, rtol=1e-10, atol=1e-14)
    greedy = epsilon_greedy(pi.argmax(axis=1), 40, 0.1, log.rows)
    np.testing.assert_allclose(
        logged(path, greedy, log.action), logged(path, dense(greedy.table.dense(np.arange(12)), log.rows), log.action),
        rtol=1e-10,
    )  # fmt: skip
    np.testing.assert_allclose(
        logged(path, uniform(log.n, 40), log.action),
        logged(path, dense(np.full((1, 40), 1 / 40), np.zeros(log.n, np.int32)), log.action),
        rtol=1e-10,
    )
    rng = np.random.default_rng(3)
    scorer = ScorerTable(log.contexts, rng.normal(size=(2, 3)).astype(np.float32), log.embeddings)
    written = dense(scorer.dense(np.arange(12)), log.rows)
    np.testing.assert_allclose(
        logged(path, Policy(scorer, log.rows), log.action), logged(path, written, log.action), rtol=1e-10
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_policy_when_stored_as_float32_moves_weights_by_rounding_only(family):
    log, _, _, pi = world()
    path = convolution(family, log.embeddings)
    wide = logged(path, dense(pi, log.rows), log.action)
    np.testing.assert_allclose(logged(path, dense(pi.astype(np.float32), log.rows), log.action), wide, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_chunks_when_small_change_nothing(family, monkeypatch):
    log, target, _, pi = world()
    path = convolution(family, log.embeddings)
    sparse_target = Policy(SparseTable(sparse.csr_array(pi)), log.rows)
    before = [logged(path, policy, log.action) for policy in (target, sparse_target)]
    monkeypatch.setattr(smoothing_module, "BLOCK_BYTES", 8 * 40 * 2)
    monkeypatch.setattr(smoothing_module, "_ENTRIES", 100)
    monkeypatch.setattr("worker.kinds.bandit.convolution.neighbours.BLOCK_BYTES", 8 * 40 * 7)
    monkeypatch.setattr("worker.kinds.bandit.convolution.metric.BLOCK_BYTES", 16 * 40 * 3)
    again = convolution(family, log.embeddings)
    for policy, expected in zip((target, sparse_target), before, strict=True):
        np.testing.assert_allclose(logged(again, policy, log.action), expected, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize(("family", "taus"), [("kernel", (1e-9,)), ("tree", (40,)), ("ball", (1e-9,)), ("knn", (1,))])
def test_weights_at_the_identity_are_the_plain_ones(family, taus):
    log, target, _, _ = world()
    path = convolution(family, log.embeddings, taus=taus)
    found = path_weights(path, log, target)
    for row in found.weight:
        np.testing.assert_allclose(row, target.at(log.action) / log.propensity, rtol=1e-12)


@pytest.mark.parametrize("normalize", ["mass", "mean"])
@pytest.mark.parametrize(("family", "taus"), [("kernel", (1e9,)), ("tree", (1,)), ("ball", (1e9,)), ("knn", (40,))])
def test_weights_at_the_top_are_one_and_estimates_the_mean_reward(family, taus, normalize):
    log, target, _, _ = world()
    path = convolution(family, log.embeddings, taus=taus, normalize=normalize)
    weight = path_weights(path, log, target).weight[-1]
    np.testing.assert_allclose(weight, 1.0, rtol=1e-10)
    terms = Terms(log.reward, weight, log.reward * 0.3, log.reward * 0 + 0.4)
    assert ips(terms).value == pytest.approx(log.reward.mean(), rel=1e-10)
    assert snips(terms).value == pytest.approx(log.reward.mean(), rel=1e-10)
    assert dr(terms).value == pytest.approx(np.mean(0.4 + 0.7 * log.reward), rel=1e-10)


def test_tree_when_both_are_cut_alike_is_importance_weighting_of_groups():
    log, target, mu, pi = world()
    path = convolution("tree", log.embeddings)
    assert isinstance(path, TreePath)
    found = path_weights(path, log, target)
    for level, groups in enumerate(path.labels):
        mass = [np.array([p[:, groups == g].sum(axis=1) for g in range(groups.max() + 1)]).T for p in (pi, mu)]
        expected = mass[0][log.rows, groups[log.action]] / mass[1][log.rows, groups[log.action]]
        np.testing.assert_allclose(found.weight[level], expected, rtol=1e-12)
    groups = path.labels[2]
    weight = group_weight(dense(mu, log.rows), target, groups, log.action)
    model = np.linspace(0, 1, log.n)
    assert dr(Terms(log.reward, found.weight[2], model, model)).value == pytest.approx(
        offcem(Terms(log.reward, weight, model, model)).value, abs=1e-12
    )


def test_mean_of_pc_ips_when_drawn_many_times_is_its_exact_expectation():
    rng = np.random.default_rng(5)
    mu, pi, q = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(6)), rng.random(6)
    path = convolution("kernel", rng.normal(size=(6, 2)), taus=(0.7,))
    ratio = path.tables(pi[None], 1)[0] / path.tables(mu[None], 1)[0]
    exact = float((mu * ratio * q).sum())
    actions = rng.choice(6, p=mu, size=200_000).astype(np.int32)
    index = np.zeros(len(actions), np.int32)
    reward = (rng.random(len(actions)) < q[actions]).astype(np.float64)
    log = BanditLog(
        actions, reward, mu[actions], 6, np.zeros((1, 0), np.float32), index, logging=dense(mu[None], index)
    )
    found = ips(Terms(reward, path_weights(path, log, dense(pi[None], index)).weight[1]))
    assert abs(found.value - exact) < 4 * found.se
    assert abs(exact - pi @ q) > 0.005  # smoothing has a bias, and the exact expectation shows it


def test_pc_ips_of_a_tree_when_an_action_is_never_tried_is_unbiased_where_groups_share_rewards():
    mu, pi = np.array([0.5, 0, 0.3, 0.2]), np.array([0.1, 0.4, 0.2, 0.3])
    q = np.array([0.7, 0.7, 0.2, 0.2])
    path = tree(hierarchy=np.array([[0, 0, 1, 1]]))
    ratio = path.tables(pi[None], 1)[0] / path.tables(mu[None], 1)[0]
    assert float((mu * ratio * q).sum()) == pytest.approx(0.45, abs=1e-12)
    assert float(pi @ q) == pytest.approx(0.45, abs=1e-12)
    seen = mu > 0
    assert float((mu[seen] * (pi[seen] / mu[seen]) * q[seen]).sum()) == pytest.approx(0.17, abs=1e-12)
    rng = np.random.default_rng(1)
    estimates = []
    for _ in range(4_000):
        a = rng.choice(4, p=mu, size=50)
        estimates.append(np.mean(ratio[a] * (rng.random(50) < q[a])))
    assert abs(np.mean(estimates) - 0.45) < 4 * np.std(estimates) / np.sqrt(len(estimates))


def test_logging_policy_when_it_contradicts_a_logged_action_is_refused():
    log, target, mu, _ = world()
    wrong = mu.copy()
    wrong[log.rows[7], log.action[7]] = 0.0
    contradicting = replace(log, logging=dense(wrong, log.rows))
    with pytest.raises(JobError) as caught:
        path_weights(convolution("tree", log.embeddings), contradicting, target)
    assert caught.value.code == "propensity_mismatch"
    with pytest.raises(JobError) as caught:
        path_weights(convolution("tree", log.embeddings), replace(log, logging=None), target)
    assert caught.value.code == "logging_policy_required"


def test_convolution_when_there_is_nothing_to_measure_similarity_by_is_refused():
    for family in FAMILIES:
        with pytest.raises(JobError) as caught:
            convolution(family, None)
        assert caught.value.code == "embedding_required"


def test_neighbours_when_distances_tie_take_the_lower_action_and_the_action_itself_first():
    points = np.array([[0.0], [1], [-1], [0], [0], [2]])
    found = nearest(points, 4)
    assert found.ids[0].tolist() == [0, 3, 4, 1]
    assert found.ids[4].tolist() == [4, 0, 3, 1]
    assert found.ids[5].tolist() == [5, 1, 0, 3]
    crowd = np.zeros((200, 2))
    crowd[150:] = 1.0
    found = nearest(crowd, 5)
    assert found.ids[60].tolist() == [60, 0, 1, 2, 3]
    assert found.ids[199].tolist() == [199, 150, 151, 152, 153]
    np.testing.assert_array_equal(found.distances, 0.0)


def test_neighbours_when_there_are_many_actions_are_those_of_whole_distances():
    points = np.random.default_rng(2).normal(size=(700, 8))
    found = nearest(points, 20)
    whole = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(found.ids, np.argsort(whole, axis=1, kind="stable")[:, :20])


def test_cosine_metric_when_rows_are_scaled_does_not_change():
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(20, 4))
    scaled = rows * rng.uniform(0.1, 9, size=(20, 1))
    np.testing.assert_allclose(action_points(rows, "cosine"), action_points(scaled, "cosine"), atol=1e-12)


def test_tree_when_actions_are_many_halves_groups_evenly_and_nests_them():
    points = np.random.default_rng(4).normal(size=(1_000, 5))
    labels = _halved(points, 10)
    for finer, coarser in pairwise(labels):
        pairs = np.unique(np.stack([finer, coarser]), axis=1)
        assert pairs.shape[1] == finer.max() + 1
    sizes = [np.bincount(level) for level in labels]
    assert all(size.max() - size.min() <= 1 for size in sizes)
    assert labels[-1].max() == 0
    apart = np.concatenate([points * 0.01, points * 0.01 + 9])
    assert set(_halved(apart, 3)[1][:1_000]) != set(_halved(apart, 3)[1][1_000:])


def test_tree_when_a_level_does_not_nest_is_crossed_with_the_coarser_one():
    path = tree(hierarchy=np.array([[0, 0, 1, 1, 1], [0, 1, 1, 2, 2]]))
    assert path.taus == (5.0, 4.0, 2.0, 1.0)
    assert path.labels[1].tolist() == [0, 1, 2, 3, 3]


@pytest.mark.parametrize("family", FAMILIES)
def test_sampled_actions_when_drawn_from_a_column_follow_it(family):
    log, _, _, _ = world()
    path = convolution(family, log.embeddings)
    level = len(path.taus) // 2
    column = path.tables(np.eye(40)[[7]], level)[0]
    drawn = path.sample(level, np.full(40_000, 7), np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(drawn, minlength=40) / 40_000, column, atol=0.02)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("family", FAMILIES)
def test_smoothing_on_a_gpu_gives_the_same_probabilities(family):
    log, target, _, _ = world()
    here = convolution(family, log.embeddings)
    there = convolution(family, log.embeddings, device="cuda")
    np.testing.assert_allclose(
        logged(there, target, log.action), logged(here, target, log.action), rtol=1e-9, atol=1e-14
    )
