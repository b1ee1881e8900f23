"""Deficient support: detection, bounds and remedies, on the worked example by exact enumeration and on random cases."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from worker.contract.errors import JobError
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.deficiency import detect, support_of_log
from worker.kinds.bandit.estimators.per_round import Terms
from worker.kinds.bandit.gain.control import Control
from worker.kinds.bandit.gain.series import with_logging_policy
from worker.kinds.bandit.overlap import Overlap, Pairs
from worker.kinds.bandit.policies import Policy, ScorerTable, SparseTable, dense, epsilon_greedy, uniform
from worker.kinds.bandit.remedies import extrapolate_reward, missing_reward, restrict_actions, restrict_policy
from worker.kinds.bandit.support import Support, support_from_pairs, support_of, unsupported_mass

MU = np.array([[0.5, 0.5, 0], [0, 0.4, 0.6], [1, 0, 0], [0.25, 0.25, 0.5]])
PI = np.array([[0.1, 0.1, 0.8], [0.6, 0.3, 0.1], [0.3, 0.3, 0.4], [0, 0.5, 0.5]])
Q = np.array([[0.6, 0.2, 0.5], [0.1, 0.4, 0.3], [0.2, 0.9, 0.5], [0.3, 0.1, 0.7]])
EXACT = {"rel": 0, "abs": 1e-12}


class Truth:
    """The reward table as a reward model."""

    def __init__(self, table: np.ndarray) -> None:
        self.table = table

    def at(self, rounds: np.ndarray, actions: np.ndarray) -> np.ndarray:
        return self.table[rounds, actions]


def enumerated(target: np.ndarray) -> tuple[Terms, np.ndarray]:
    """Every (context, action) once, as a row that stands for mu rounds: means over it are expectations."""
    rounds, actions = np.nonzero(MU)
    weight = target[rounds, actions] / MU[rounds, actions]
    return Terms(Q[rounds, actions], weight, rounds=MU[rounds, actions]), rounds


def random_case(seed: int = 0, n: int = 40, n_actions: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logging = rng.dirichlet(np.ones(n_actions), n) * (rng.random((n, n_actions)) < 0.5)
    logging[np.arange(n), rng.integers(n_actions, size=n)] += 0.1
    logging[0] = 1 / n_actions
    return logging / logging.sum(1, keepdims=True), rng.dirichlet(np.ones(n_actions), n)


def test_unsupported_mass_when_on_the_worked_example_then_is_the_specified_one():
    mass = unsupported_mass(dense(PI), support_of(dense(MU)))
    np.testing.assert_allclose(mass, [0.8, 0.6, 0.7, 0], rtol=0, atol=1e-12)
    assert mass.mean() == pytest.approx(0.525, **EXACT)


def test_worked_example_when_enumerated_exactly_then_bias_is_minus_the_missed_reward():
    terms, rounds = enumerated(PI)
    mass = unsupported_mass(dense(PI), support_of(dense(MU)))
    ips = restrict_policy(terms, 0.0).value
    value = float((PI * Q).sum(1).mean())
    assert value == pytest.approx(0.405, **EXACT)
    assert ips == pytest.approx(0.1725, **EXACT)
    assert ips - value == pytest.approx(-0.2325, **EXACT)
    assert terms.rounds @ terms.weight / 4 == pytest.approx(0.475, **EXACT)
    pairs = Pairs.of(dense(PI[rounds]), dense(MU[rounds]))
    overlap = Overlap.of(pairs, pairs.share(terms.rounds))
    assert overlap.capped(np.inf)[0] == pytest.approx(mass.mean(), **EXACT) == 0.525
    log = BanditLog(
        np.nonzero(MU)[1].astype(np.int32), terms.reward, MU[np.nonzero(MU)], 3, np.zeros((1, 0), np.float32),
        context_index=np.zeros(len(rounds), np.int32), logging=dense(MU[rounds]), weight=terms.rounds,
    )  # fmt: skip
    for predicted in (0.0, 0.3):
        control = Control(np.full(len(rounds), predicted), None)
        series = with_logging_policy(log, pairs, overlap, terms.weight, control, (0, 1))
        ends = [terms.rounds @ (end + terms.reward) / 4 for end in (series.low, series.high)]
        assert ends == [pytest.approx(0.1725, **EXACT), pytest.approx(0.6975, **EXACT)]
        assert ends[0] <= value <= ends[1]


def test_worked_example_when_extrapolated_by_a_constant_then_gives_the_specified_value():
    terms, rounds = enumerated(PI)
    missing = missing_reward(dense(PI), support_of(dense(MU)), 0.5)
    assert extrapolate_reward(terms, missing[rounds]).value == pytest.approx(0.435, **EXACT)
    assert restrict_policy(terms, 0.5).value == pytest.approx(0.435, **EXACT)


def test_worked_example_when_extrapolated_by_the_true_rewards_then_is_unbiased():
    terms, rounds = enumerated(PI)
    missing = missing_reward(dense(PI), support_of(dense(MU)), Truth(Q))
    assert extrapolate_reward(terms, missing[rounds]).value == pytest.approx(0.405, **EXACT)


def test_worked_example_when_actions_are_restricted_then_ips_identifies_the_specified_value():
    masked = restrict_actions(dense(PI), support_of(dense(MU)))
    written = masked.dense(np.arange(4))
    terms, _ = enumerated(written)
    assert float((written * Q).sum(1).mean()) == pytest.approx(0.34375, **EXACT)
    assert restrict_policy(terms, 0.0).value == pytest.approx(0.34375, **EXACT)


def test_restrict_policy_when_k_varies_then_equals_ips_plus_k_times_the_missing_weight():
    rng = np.random.default_rng(3)
    terms = Terms(rng.normal(size=200), rng.exponential(size=200), rounds=rng.integers(1, 4, 200).astype(float))
    ips = restrict_policy(terms, 0.0)
    for k in (-1.0, 0.15, 0.3, 1.0, 12.5):
        expected = ips.value + k * (1 - ips.mean(terms.weight))
        assert restrict_policy(terms, k).value == pytest.approx(expected, **EXACT)


def test_restrict_actions_when_applied_then_masked_actions_have_no_mass_and_rows_sum_to_one():
    logging, target = random_case()
    masked = restrict_actions(dense(target), support_of(dense(logging))).dense(np.arange(len(target)))
    assert np.all(masked[logging == 0] == 0)
    np.testing.assert_allclose(masked.sum(1), 1, rtol=0, atol=1e-12)
    expected = np.where(logging > 0, target, 0)
    np.testing.assert_allclose(masked, expected / expected.sum(1, keepdims=True), rtol=0, atol=1e-12)


def test_restrict_actions_when_nothing_is_left_in_a_row_then_is_an_error():
    with pytest.raises(JobError) as raised:
        restrict_actions(dense(np.array([[0.0, 1.0]])), support_of(dense(np.array([[1.0, 0.0]]))))
    assert raised.value.code == "no_supported_action"
    empty = support_from_pairs(np.array([0]), np.array([1]), 2, 2)
    with pytest.raises(JobError):
        restrict_actions(dense(np.full((2, 2), 0.5)), empty)


def targets(values: np.ndarray, seed: int = 1) -> dict[str, Policy]:
    rng = np.random.default_rng(seed)
    n, n_actions = values.shape
    few = values * (rng.random(values.shape) < 0.4)
    few[:, 0] += 0.01
    thin = sparse.csr_array(few / few.sum(1, keepdims=True))
    context, vectors = rng.normal(size=(n, 3)).astype("f4"), rng.normal(size=(n_actions, 3)).astype("f4")
    grouped = dense(values[:5], rng.integers(0, 5, n).astype(np.int32))
    return {
        "dense": dense(values),
        "sparse": Policy(SparseTable(thin)),
        "floor": epsilon_greedy(rng.integers(n_actions, size=n), n_actions, 0.3),
        "uniform": uniform(n, n_actions),
        "grouped": grouped,
        "scorer": Policy(ScorerTable(context, np.eye(3, dtype="f4"), vectors)),
    }


def supports(logging: np.ndarray) -> dict[str, tuple[Support, np.ndarray]]:
    """Supports and the row of `logging` each round sees."""
    n = len(logging)
    each = np.arange(n)
    index = np.random.default_rng(2).integers(0, 6, n).astype(np.int32)
    floor = np.where(each % 5 == 0, 0.01, 0.0)
    lifted = Policy(SparseTable(sparse.csr_array(logging), floor))
    return {
        "dense": (support_of(dense(logging)), logging > 0),
        "sparse": (support_of(Policy(SparseTable(sparse.csr_array(logging)))), logging > 0),
        "floor": (support_of(lifted), (logging > 0) | (floor > 0)[:, None]),
        "grouped": (support_of(dense(logging[:6], index)), logging[:6][index] > 0),
    }


@pytest.mark.parametrize("form", ["dense", "sparse", "floor", "uniform", "grouped", "scorer"])
@pytest.mark.parametrize("known", ["dense", "sparse", "floor", "grouped"])
def test_every_form_of_policy_when_measured_and_restricted_then_agrees_with_written_out_tables(form, known):
    logging, values = random_case(n=30)
    target = targets(values)[form]
    support, inside = supports(logging)[known]
    written = target.dense(np.arange(30))
    np.testing.assert_allclose(
        unsupported_mass(target, support), np.where(inside, 0, written).sum(1), rtol=0, atol=1e-12
    )
    reward = np.random.default_rng(4).random(written.shape)
    exact = np.where(inside, 0, written * reward).sum(1)
    np.testing.assert_allclose(missing_reward(target, support, Truth(reward)), exact, rtol=0, atol=1e-12)
    left = np.where(inside, written, 0)
    if np.all(left.sum(1) > 0):
        masked = restrict_actions(target, support).dense(np.arange(30))
        np.testing.assert_allclose(masked, left / left.sum(1, keepdims=True), rtol=0, atol=1e-12)
    else:
        with pytest.raises(JobError):
            restrict_actions(target, support)


def test_one_drawn_action_when_averaged_over_draws_then_gives_the_exact_sum():
    logging, values = random_case(n=30)
    support = support_of(dense(logging))
    reward = np.random.default_rng(4).random(values.shape)
    exact = missing_reward(dense(values), support, Truth(reward))
    rng = np.random.default_rng(0)
    draws = np.stack(
        [missing_reward(dense(values), support, Truth(reward), rng=rng, sampled=True) for _ in range(4000)]
    )
    error = (draws.mean(0) - exact) / np.maximum(draws.std(0) / np.sqrt(4000), 1e-12)
    assert np.abs(error).max() < 4.5
    assert np.all(draws[:, 0] == 0)  # round 0 supports everything


def test_drawn_actions_when_many_are_drawn_then_are_unsupported_and_uniform():
    logging, _ = random_case(n=3)
    support = support_of(dense(logging))
    drawn = support.draw_unsupported(np.full(20_000, 1), np.random.default_rng(0))
    lacking = np.flatnonzero(logging[1] == 0)
    counts = np.bincount(drawn, minlength=7)
    assert counts[logging[1] > 0].sum() == 0
    np.testing.assert_allclose(counts[lacking] / 20_000, 1 / len(lacking), atol=0.02)
    assert support.draw_unsupported(np.array([0]), np.random.default_rng(0))[0] == -1


def log_of(logging: np.ndarray, *, known: bool = True, seed: int = 0) -> BanditLog:
    rng = np.random.default_rng(seed)
    n, n_actions = logging.shape
    action = (logging.cumsum(1) > rng.random((n, 1))).argmax(1).astype(np.int32)
    return BanditLog(
        action,
        rng.random(n),
        logging[np.arange(n), action],
        n_actions,
        np.zeros((n, 0), np.float32),
        logging=dense(logging) if known else None,
    )


def test_detection_when_only_propensities_are_known_then_the_proxy_estimates_the_mass():
    logging, target = (np.repeat(table, 300, axis=0) for table in (MU, PI))
    known, proxy = detect(log_of(logging), dense(target)), detect(log_of(logging, known=False), dense(target))
    assert known.known
    assert known.mean == pytest.approx(0.525, **EXACT)
    assert not proxy.known
    assert abs(proxy.shortfall - 0.525) < 4 * proxy.shortfall_se
    assert proxy.mean == proxy.shortfall


def test_detection_when_an_action_is_never_logged_then_its_target_mass_is_told():
    logging = np.tile([0.5, 0.5, 0.0], (100, 1))
    found = detect(log_of(logging, known=False), dense(np.tile([0.2, 0.2, 0.6], (100, 1))))
    assert found.never_logged == 1
    assert found.never_logged_mass == pytest.approx(0.6)


def test_support_list_when_declared_on_a_log_then_serves_without_the_logging_policy():
    rows, actions = np.nonzero(MU)
    log = log_of(MU, known=False)
    declared = BanditLog(
        log.action, log.reward, log.propensity, 3, log.contexts, support=support_from_pairs(rows, actions, 4, 3)
    )
    assert detect(declared, dense(PI)).mean == pytest.approx(0.525, **EXACT)
    part = declared.take(np.array([3, 0]))
    support = support_of_log(part)
    assert support is not None
    np.testing.assert_allclose(unsupported_mass(dense(PI[[3, 0]]), support), [0, 0.8], atol=1e-12)


def test_mass_when_a_hundred_thousand_actions_are_sparse_then_takes_no_dense_table():
    rng = np.random.default_rng(0)
    n, n_actions, k = 20_000, 100_000, 20

    def thin(seed: int) -> Policy:
        picks = np.sort(rng.integers(0, 4000, (n, k)) * 25 + np.arange(k), axis=1)
        table = sparse.csr_array((np.full(n * k, 1 / k), picks.ravel(), np.arange(n + 1) * k), (n, n_actions))
        return Policy(SparseTable(table))

    target, logging = thin(0), thin(1)
    support = support_of(logging)
    mass = unsupported_mass(target, support)
    sample = rng.integers(0, n, 50)
    overlap = (target.dense(sample) * (logging.dense(sample) == 0)).sum(1)
    np.testing.assert_allclose(mass[sample], overlap, atol=1e-12)
