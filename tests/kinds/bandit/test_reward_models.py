"""Reward models against dense reference fits, their means under policies, and cross-fitting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge

from benchmarks.off_policy.reward_models import logged, told
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimators.balanced import balanced_weight, draw, estimated_propensity
from worker.kinds.bandit.estimators.group_ips import outcome_embeddings
from worker.kinds.bandit.estimators.importance import snips
from worker.kinds.bandit.estimators.per_round import Terms
from worker.kinds.bandit.policies import Policy, SparseTable, dense, epsilon_greedy, uniform
from worker.kinds.bandit.reward_models import gbdt, logistic, mlp, none, ridge
from worker.kinds.bandit.reward_models.choice import choose
from worker.kinds.bandit.reward_models.crossfit import assign_folds, crossfit, mean_under
from worker.kinds.bandit.reward_models.pairwise import TwoStep, pairs_within

N_ACTIONS = 9


def made_up(n: int = 900, *, embeddings: bool = True, binary: bool = False, users: bool = False, seed: int = 0):
    rng = np.random.default_rng(seed)
    contexts = rng.normal(size=(60, 3)).astype(np.float32)
    rows = rng.integers(0, 60, n).astype(np.int32)
    e = rng.normal(size=(N_ACTIONS, 2)).astype(np.float32)
    propensities = rng.dirichlet(np.full(N_ACTIONS, 3.0), 60)
    actions = (propensities[rows].cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).astype(np.int32)
    mean = 0.5 * contexts[rows, 0] + e[actions, 1] - 0.2
    reward = mean + 0.1 * rng.normal(size=n)
    if binary:
        reward = (rng.random(n) < 1 / (1 + np.exp(-2 * mean))).astype(float)
    return BanditLog(
        actions, reward, propensities[rows, actions], N_ACTIONS, contexts, rows,
        logging=Policy(dense(propensities).table, rows),
        embeddings=e if embeddings else None,
        user=rng.integers(0, 40, n).astype(np.int32) if users else None,
    )  # fmt: skip


def columns(log: BanditLog, rows: np.ndarray, actions: np.ndarray) -> np.ndarray:
    e = np.eye(N_ACTIONS) if log.embeddings is None else log.embeddings
    scale = lambda v, i: (v - v[i].mean(axis=0)) / v[i].std(axis=0)  # noqa: E731
    x = scale(log.contexts.astype(float), log.rows)
    of_actions = e if log.embeddings is None else scale(e.astype(float), log.action)
    return np.column_stack([x[rows], of_actions[actions]])


POLICIES = {
    "dense": lambda rng: dense(rng.dirichlet(np.ones(N_ACTIONS), 900)),
    "grouped": lambda rng: dense(rng.dirichlet(np.ones(N_ACTIONS), 7), rng.integers(0, 7, 900).astype(np.int32)),
    "sparse": lambda rng: Policy(
        SparseTable(sparse.csr_array(np.eye(N_ACTIONS)[rng.integers(0, N_ACTIONS, 900)] * 1.0))
    ),
    "greedy": lambda rng: epsilon_greedy(rng.integers(0, N_ACTIONS, 900), N_ACTIONS, 0.1),
    "uniform": lambda rng: uniform(900, N_ACTIONS),
}
FITS = {"ridge": ridge.fit, "logistic": logistic.fit, "gbdt": gbdt.fit, "mlp": mlp.TwoTowers(epochs=2).fit}


@pytest.mark.parametrize("embeddings", [True, False])
def test_ridge_equals_a_dense_ridge_on_the_same_columns(embeddings):
    log = made_up(embeddings=embeddings)
    every = np.arange(log.n)
    ours = ridge.fit(log, every)
    z = columns(log, log.rows, log.action)
    theirs = Ridge(alpha=1.0).fit(z, log.reward)
    np.testing.assert_allclose(ours.at(every, log.action), theirs.predict(z), atol=1e-9)
    other = (log.action + 1) % N_ACTIONS
    np.testing.assert_allclose(ours.at(every, other), theirs.predict(columns(log, log.rows, other)), atol=1e-9)


@pytest.mark.parametrize("embeddings", [True, False])
def test_logistic_equals_a_dense_logistic_on_the_same_columns(embeddings):
    log = made_up(embeddings=embeddings, binary=True)
    every = np.arange(log.n)
    z = columns(log, log.rows, log.action)
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=2000).fit(z, log.reward)
    found = logistic.fit(log, every).at(every, log.action)
    np.testing.assert_allclose(found, theirs.predict_proba(z)[:, 1], atol=1e-6)


@pytest.mark.parametrize("policy", sorted(POLICIES))
@pytest.mark.parametrize("model", sorted(FITS))
def test_mean_under_a_policy_equals_the_sum_over_actions(model, policy):
    log = made_up(binary=True)
    target = POLICIES[policy](np.random.default_rng(1))
    rounds = np.arange(100, 400)
    fitted = FITS[model](log, np.arange(log.n))
    table = np.column_stack([fitted.at(rounds, np.full(len(rounds), a)) for a in range(N_ACTIONS)])
    want = (target.dense(rounds) * table).sum(axis=1)
    np.testing.assert_allclose(fitted.under(target, rounds), want, atol=1e-7)
    np.testing.assert_allclose(mean_under([fitted], target, np.zeros(log.n, int))[rounds], want, atol=1e-7)


@pytest.mark.parametrize("embeddings", [True, False])
@pytest.mark.parametrize("model", ["ridge", "gbdt", "mlp"])
def test_model_of_a_learnable_reward_predicts_rounds_it_has_not_seen(model, embeddings):
    log = made_up(2000, embeddings=embeddings)
    fit = mlp.TwoTowers(epochs=20, batch=256).fit if model == "mlp" else FITS[model]
    target = uniform(log.n, N_ACTIONS)
    fitted = crossfit(log, fit, {"t": target}, folds=2)
    error = np.mean((log.reward - fitted.q_logged) ** 2) / log.reward.var()
    assert error < (0.03 if model == "ridge" else 0.1)


def test_folds_when_there_are_users_keep_them_whole():
    log = made_up(users=True)
    fold = assign_folds(log, 3, seed=1)
    assert set(fold) == {0, 1, 2}
    for user in np.unique(log.user):
        assert len(set(fold[log.user == user])) == 1
    np.testing.assert_array_equal(fold, assign_folds(log, 3, seed=1))


def test_rounds_are_predicted_by_the_model_that_left_them_out():
    log = made_up(users=True)
    fitted = crossfit(log, ridge.fit, {"a": POLICIES["dense"](np.random.default_rng(2)), "u": uniform(log.n, 9)})
    for k in range(3):
        held = np.flatnonzero(fitted.fold == k)
        alone = ridge.fit(log, np.flatnonzero(fitted.fold != k))
        np.testing.assert_allclose(fitted.q_logged[held], alone.at(held, log.action[held]), atol=1e-12)
        np.testing.assert_allclose(fitted.dm["u"][held], alone.under(uniform(log.n, 9), held), atol=1e-12)
    assert not fitted.in_sample


def test_one_fold_is_flagged_as_fitted_on_what_it_predicts():
    fitted = crossfit(made_up(), ridge.fit, {}, folds=1)
    assert fitted.in_sample
    assert fitted.folds == 1


def test_folds_of_a_single_user_are_refused():
    log = made_up()
    lone = BanditLog(**{**log.__dict__, "user": np.zeros(log.n, np.int32)})
    with pytest.raises(JobError) as refused:
        crossfit(lone, ridge.fit, {})
    assert refused.value.code == "too_few_rounds"


def test_sample_weights_of_a_target_change_the_fit_as_their_formulas_say():
    log = made_up()
    target = POLICIES["grouped"](np.random.default_rng(3))
    pi = target.at(log.action)
    expected = {"iw": pi / log.propensity, "mrdr": pi * (1 - log.propensity) / log.propensity**2}
    for name, weight in expected.items():
        found = crossfit(log, ridge.fit, {"t": target}, folds=1, sample_weight=name)
        want = ridge.fit(log, np.arange(log.n), weight=weight)
        np.testing.assert_allclose(found.q_logged, want.at(np.arange(log.n), log.action), atol=1e-12)
    with pytest.raises(ValueError, match="exactly one"):
        crossfit(log, ridge.fit, {"a": target, "b": target}, sample_weight="iw")


def test_fit_on_integer_weights_equals_repeated_rounds():
    log = made_up(300, binary=True)
    counts = np.random.default_rng(4).integers(1, 4, log.n)
    long = log.take(np.repeat(np.arange(log.n), counts))
    for fit in (ridge.fit, logistic.fit):
        weighted = fit(log, np.arange(log.n), weight=counts.astype(float)).at(np.arange(log.n), log.action)
        repeated = fit(long, np.arange(long.n)).at(np.arange(long.n), long.action)
        np.testing.assert_allclose(np.repeat(weighted, counts), repeated, atol=1e-8)


def test_unfit_rewards_are_refused_with_their_codes():
    log = made_up()
    ones = BanditLog(**{**log.__dict__, "reward": np.ones(log.n)})
    many = BanditLog(**{**log.__dict__, "embeddings": None, "n_actions": 300})
    for fit, bad, code in (
        (logistic.fit, log, "invalid_input"),
        (logistic.fit, ones, "single_class_reward"),
        (gbdt.fit, many, "embedding_required"),
    ):
        with pytest.raises(JobError) as refused:
            fit(bad, np.arange(bad.n))
        assert refused.value.code == code


def test_no_model_predicts_zero():
    log = made_up()
    fitted = crossfit(log, none.fit, {"u": uniform(log.n, N_ACTIONS)})
    assert not fitted.q_logged.any()
    assert not fitted.dm["u"].any()


def test_log_without_contexts_is_fitted_on_actions_alone():
    log = made_up(embeddings=False)
    bare = BanditLog(**{**log.__dict__, "contexts": np.zeros((60, 0), np.float32)})
    fitted = ridge.fit(bare, np.arange(log.n), ridge=1e-9)
    means = np.bincount(log.action, log.reward) / np.bincount(log.action)
    np.testing.assert_allclose(fitted.at(np.arange(log.n), log.action), means[log.action], atol=1e-6)
    assert np.isfinite(mlp.TwoTowers(epochs=1).fit(bare, np.arange(log.n)).right).all()


def test_two_towers_with_one_seed_give_the_same_numbers():
    log = made_up()
    first, second = (mlp.TwoTowers(epochs=2).fit(log, np.arange(log.n), ctx=Context(seed=3)) for _ in range(2))
    np.testing.assert_array_equal(first.right, second.right)


def test_pairs_share_user_and_cluster_and_include_rewards_of_zero():
    log = made_up(binary=True, users=True)
    labels = np.arange(N_ACTIONS) // 3
    rounds = np.arange(50, 900)
    first, second = pairs_within(log, rounds, labels, np.random.default_rng(0))
    i, j = rounds[first], rounds[second]
    assert len(i) > 500
    assert np.all(log.user[i] == log.user[j])
    assert np.all(labels[log.action[i]] == labels[log.action[j]])
    assert np.all(log.action[i] != log.action[j])
    assert np.any((log.reward[i] == 0) & (log.reward[j] == 0))


def test_two_step_model_preserves_differences_inside_clusters():
    log = made_up(2000)
    labels = np.arange(N_ACTIONS) // 3
    fitted = TwoStep(labels, epochs=6)(log, np.arange(log.n))
    other = (log.action // 3) * 3 + (log.action + 1) % 3
    rounds = np.arange(log.n)
    found = fitted.at(rounds, log.action) - fitted.at(rounds, other)
    want = log.embeddings[log.action, 1] - log.embeddings[other, 1]
    assert np.corrcoef(found, want)[0, 1] > 0.97


def test_two_step_model_when_no_context_repeats_falls_back_to_one_step_and_says_so():
    log = made_up(300)
    ctx = Context()
    alone = BanditLog(**{**log.__dict__, "contexts": log.x, "context_index": None, "logging": None})
    fitted = TwoStep(np.arange(N_ACTIONS) // 3, epochs=1)(alone, np.arange(300), ctx=ctx)
    assert np.isfinite(fitted.at(np.arange(300), log.action)).all()
    assert "too few pairs" in ctx.warnings[0]


def test_two_step_model_leaves_out_rounds_marked_unobserved():
    log = made_up(600)
    wild = BanditLog(**{**log.__dict__, "reward": np.where(np.arange(600) < 300, log.reward, 1e6)})
    fitted = TwoStep(np.arange(N_ACTIONS) // 3, observed=np.arange(600) < 300, epochs=2)(wild, np.arange(600))
    assert np.abs(fitted.at(np.arange(600), log.action)).max() < 100


def test_outcome_embeddings_place_actions_of_equal_reward_together():
    rng = np.random.default_rng(5)
    log = made_up(2000, embeddings=False)
    reward = (log.action % 3) + 0.1 * rng.normal(size=log.n)
    found = outcome_embeddings(BanditLog(**{**log.__dict__, "reward": reward}), np.arange(log.n), Context(), width=4)
    distance = np.linalg.norm(found[:, None] - found[None], axis=2)
    alike = (np.arange(9)[:, None] % 3 == np.arange(9)[None] % 3) & ~np.eye(9, dtype=bool)
    assert distance[alike].mean() < 0.6 * distance[~alike & ~np.eye(9, dtype=bool)].mean()


def test_balanced_weights_without_propensities_come_near_the_true_value():
    log = made_up(6000, embeddings=False, binary=True)
    target = uniform(log.n, N_ACTIONS)
    true = snips(Terms(log.reward, target.at(log.action) / log.propensity)).value
    found = snips(Terms(log.reward, balanced_weight(log, target, draws=2))).value
    assert abs(found - true) < 0.03
    assert abs(found - true) < abs(log.reward.mean() - true) + 0.02


def test_draws_from_a_policy_follow_its_probabilities():
    n = 30_000
    p = np.array([0.5, 0.0, 0.2, 0.3])
    index = np.zeros(n, np.int32)
    for policy in (dense(p[None], index), Policy(SparseTable(sparse.csr_array(p[None])), index)):
        found = np.bincount(draw(policy, np.random.default_rng(0)), minlength=4) / n
        np.testing.assert_allclose(found, p, atol=0.012)
        assert found[1] == 0


def test_estimated_propensities_of_a_context_free_log_are_its_frequencies():
    log = made_up(3000)
    bare = BanditLog(**{**log.__dict__, "contexts": np.zeros((60, 1), np.float32)})
    share = np.bincount(log.action) / log.n
    np.testing.assert_allclose(estimated_propensity(bare), share[log.action], atol=0.01)


def personal(shape: str, n: int = 3000) -> tuple[BanditLog, np.ndarray]:
    """Uniform choices of 4 actions; rewards additive, of each action's own slope, or of a sign that no slope shows."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    slope = rng.normal(size=(4, 4))
    score = {
        "additive": 0.5 * x[:, :1] + np.linspace(-1, 1, 4),
        "own slopes": x @ slope,
        "signs": 2.0 * np.sign(x[:, :1] * x[:, 1:2]) * np.array([1.0, -1.0, 1.0, -1.0]),
    }[shape]
    q = 1 / (1 + np.exp(-score))
    action = rng.integers(0, 4, n).astype(np.int32)
    reward = (rng.random(n) < q[np.arange(n), action]).astype(float)
    return BanditLog(action, reward, np.full(n, 0.25), 4, x, reward_range=(0.0, 1.0)), q


@pytest.mark.parametrize(
    ("shape", "name", "off"),
    [("additive", "logistic", 0.06), ("own slopes", "per_action", 0.06), ("signs", "gbdt", 0.2)],
)
def test_choice_when_rewards_have_a_shape_then_the_model_that_sees_it_is_kept_and_dm_is_near(shape, name, off):
    log, q = personal(shape)
    best = epsilon_greedy(q.argmax(axis=1), 4, 0.0)
    found = choose(log, {"best": best}, 3, 0, Context(seed=0), (0.0, 1.0))
    assert found.name == name
    assert found.errors[name] == min(found.errors.values())
    assert np.all((found.reward.q_logged >= 0) & (found.reward.q_logged <= 1))
    assert found.reward.dm["best"].mean() == pytest.approx(q.max(axis=1).mean(), abs=off)
    weight = best.at(log.action) / log.propensity
    robust = found.reward.dm["best"] + weight * (log.reward - found.reward.q_logged)
    assert robust.mean() == pytest.approx(q.max(axis=1).mean(), abs=4 * robust.std() / log.n**0.5)


def test_choice_when_predictions_leave_the_range_then_they_are_cut_for_every_action_alike():
    log, _ = personal("own slopes")
    log = replace(log, reward=3.0 * log.reward - 1.0, reward_range=(-1.0, 2.0))
    every = uniform(log.n, 4)
    found = choose(log, {"every": every}, 3, 0, Context(seed=0), (-1.0, 2.0))
    assert found.name == "per_action"
    at = np.stack([model_at(found, log, a) for a in range(4)], axis=1)
    assert at.min() >= -1.0
    assert at.max() <= 2.0
    np.testing.assert_allclose(found.reward.dm["every"], at.mean(axis=1), atol=1e-12)


def model_at(found, log: BanditLog, action: int) -> np.ndarray:
    values = np.empty(log.n)
    for k, model in enumerate(found.reward.models):
        held = np.flatnonzero(found.reward.fold == k)
        values[held] = model.at(held, np.full(len(held), action))
    return values


@pytest.mark.slow
def test_choice_when_the_best_action_differs_by_context_then_dm_and_dr_are_no_longer_weak():
    pixels, digit = load_digits(return_X_y=True)
    log, target, truth = logged(pixels / 16, digit, 0)
    additive = told(log, target, crossfit(log, logistic.fit, {"target": target}))
    choice = choose(log, {"target": target}, 3, 0, Context(seed=0), (0.0, 1.0))
    chosen = told(log, target, choice.reward)
    assert choice.name == "gbdt"
    assert additive["dm"] < 0.5
    assert chosen["dm"] > 0.8
    assert abs(chosen["dr"] - truth) < 4 * chosen["dr_se"]
    assert chosen["dr_se"] < 0.7 * additive["dr_se"]
