"""Targets restricted to possible actions: right policies, right values, and what was changed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from benchmarks.off_policy.small_world import ACTIONS, CONTEXTS, world
from tests.kinds.bandit.test_margins import estimate
from worker.contract.errors import JobError
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.deficiency import support_of_log
from worker.kinds.bandit.estimation.restricted import SUFFIX, with_restricted
from worker.kinds.bandit.policies import DenseTable, Policy, SparseTable
from worker.kinds.bandit.support import Support


def deficient(rounds: int = 4000, seed: int = 0) -> tuple[BanditLog, np.ndarray, np.ndarray, np.ndarray]:
    """A log whose policy never takes some actions, and nothing of the target in context 0; with mu, pi, q (U, A)."""
    there = world(0.05, 6)
    rng = np.random.default_rng(2)
    possible = rng.random((CONTEXTS, ACTIONS)) < 0.6
    possible[:, 0] = True
    mu = there.mu * possible
    mu /= mu.sum(axis=1, keepdims=True)
    pi = there.pi.copy()
    pi[0] = np.where(possible[0], 0, 1.0)
    pi[0] /= pi[0].sum()
    log = replace(there, mu=mu, pi=pi).log(rounds, seed)
    return log, mu, pi, there.q


def by_hand(mu: np.ndarray, pi: np.ndarray) -> np.ndarray:
    kept = np.where(mu > 0, pi, 0.0)
    kept[0] = mu[0]
    return kept / kept.sum(axis=1, keepdims=True)


def test_restricted_when_policies_are_dense_or_listed_then_equal_what_is_done_by_hand():
    log, mu, pi, _ = deficient(300)
    want = by_hand(mu, pi)[log.rows]
    share = np.where(mu > 0, 0.0, pi).sum(axis=1)[log.rows]
    for table in (DenseTable, lambda values: SparseTable(sparse.csr_array(values))):
        given = replace(log, logging=Policy(table(mu), log.rows), targets={"t": Policy(table(pi), log.rows)})
        found, changed = with_restricted(given, given.targets)
        assert [*found] == ["t", "t" + SUFFIX]
        np.testing.assert_allclose(found["t" + SUFFIX].dense(np.arange(log.n)), want, atol=1e-12)
        mine = changed["t" + SUFFIX]
        assert mine.mass == pytest.approx(share.mean(), rel=1e-9)
        assert mine.rounds == pytest.approx((share > 0).mean())
        assert mine.handed == pytest.approx((log.rows == 0).mean())


def test_restricted_when_only_the_support_is_known_then_takes_possible_actions_equally_where_nothing_is_left():
    log, mu, pi, _ = deficient(300)
    support = Support(sparse.csr_array(mu > 0), np.zeros(CONTEXTS, bool), log.rows)
    found, _ = with_restricted(replace(log, logging=None, support=support), log.targets)
    want = by_hand(mu, pi)
    want[0] = (mu[0] > 0) / (mu[0] > 0).sum()
    np.testing.assert_allclose(found["target" + SUFFIX].dense(np.arange(log.n)), want[log.rows], atol=1e-12)


def test_restricted_when_everything_is_possible_then_the_target_stands_alone():
    log = world(0.05).log(200, 1)
    found, changed = with_restricted(log, log.targets)
    assert [*found] == ["target"]
    assert not changed


def test_restricted_when_the_support_is_unknown_then_says_what_to_upload():
    log, *_ = deficient(200)
    with pytest.raises(JobError) as refused:
        with_restricted(replace(log, logging=None), log.targets)
    assert "logging_policy.npz" in refused.value.hint


def test_estimate_when_restricted_then_remedies_stand_beside_each_other_and_hold_the_truth():
    log, mu, pi, q = deficient()
    found = estimate(log, unsupported="restrict")
    rows = {row["remedy"]: row for row in next(t for t in found.tables if t.name == "remedies").rows}
    assert [*rows] == ["Bounds", "Possible actions only"]
    assert rows["Bounds"]["low"] <= (pi * q).sum(axis=1).mean() <= rows["Bounds"]["high"]
    restricted, truth = rows["Possible actions only"], (by_hand(mu, pi) * q).sum(axis=1).mean()
    assert restricted["low"] <= truth <= restricted["high"]
    assert restricted["high"] - restricted["low"] < rows["Bounds"]["high"] - rows["Bounds"]["low"]
    assert restricted["changed"] == pytest.approx(100 * (np.where(mu > 0, 0, pi).sum(axis=1)[log.rows]).mean())
    assert [one["name"] for one in found.verdict.details["targets"]] == ["target", "target" + SUFFIX]
    assert support_of_log(log) is not None


def test_estimate_when_restricted_many_times_then_intervals_hold_the_restricted_value():
    """60 logs at 95 %: fewer than 51 have probability 2e-3 at nominal coverage."""
    log, mu, pi, q = deficient(10)
    truth = (by_hand(mu, pi) * q).sum(axis=1).mean()
    held = 0
    for seed in range(60):
        log, *_ = deficient(800, seed)
        found = estimate(log, unsupported="restrict", reward_model="none", estimators=["snips"])
        rows = {row["remedy"]: row for row in next(t for t in found.tables if t.name == "remedies").rows}
        held += rows["Possible actions only"]["low"] <= truth <= rows["Possible actions only"]["high"]
    assert held >= 51
