"""The gain over the logging policy: what is missing, wrong or repeated in a log never becomes a claim."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmarks.off_policy import situations
from benchmarks.off_policy.false_claims import measure, missed, outcome
from benchmarks.off_policy.situations import Situation
from tests.planted_bandit import tiny_bandit
from worker.contract.context import Context
from worker.kinds.bandit import canonical, policies
from worker.kinds.bandit.convolution import convolution
from worker.kinds.bandit.convolution.policy_ess import policy_ess
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.estimation.prepare import prepare
from worker.kinds.bandit.gain.claim import mean_of
from worker.kinds.bandit.gain.control import control_of
from worker.kinds.bandit.gain.gain import gain_of
from worker.kinds.bandit.gain.rare import Events
from worker.kinds.bandit.gain.sensitivity import Shifts
from worker.kinds.bandit.gain.series import between, total_variation, with_logging_policy, with_propensities
from worker.kinds.bandit.methods.policy_convolution import policy_convolution
from worker.kinds.bandit.overlap import Gap, Overlap, Pairs
from worker.kinds.bandit.policies import dense
from worker.kinds.bandit.reward_models import ridge
from worker.kinds.bandit.reward_models.crossfit import crossfit

RANGE = (0.0, 1.0)


def situation(kind: int, seed: int = 3) -> Situation:
    return situations.KINDS[kind](np.random.default_rng([seed, kind]))


def named(name: str) -> Situation:
    return next(one for kind in range(len(situations.KINDS)) if (one := situation(kind)).name == name)


def random_policies(seed: int = 0, contexts: int = 30, actions: int = 8):
    rng = np.random.default_rng(seed)
    mu = rng.dirichlet(np.ones(actions), contexts) * (rng.random((contexts, actions)) < 0.7)
    mu[:, 0] += 0.05
    return rng.dirichlet(np.ones(actions), contexts), mu / mu.sum(axis=1, keepdims=True)


def as_lists(values: np.ndarray, floor: float = 0.0) -> policies.Policy:
    from scipy import sparse

    table = policies.SparseTable(sparse.csr_array(values), None if not floor else np.full(len(values), floor))
    return policies.Policy(table)


@pytest.mark.parametrize("cap", [2.0, 5.0, np.inf])
@pytest.mark.parametrize("listed", [False, True])
def test_overlap_when_capped_then_equals_the_sums_over_all_actions(cap, listed):
    pi, mu = random_policies()
    form = as_lists if listed else dense
    pairs = Pairs.of(form(pi), form(mu))
    overlap = Overlap.of(pairs, pairs.share())
    kept = np.where(mu > 0, np.minimum(pi, np.where(mu > 0, cap * mu, 0) if np.isfinite(cap) else pi), 0.0)
    weight = np.divide(kept, mu, out=np.ones_like(mu), where=mu > 0)
    lost, spread = overlap.capped(cap)
    assert lost == pytest.approx(1 - kept.sum(axis=1).mean(), abs=1e-12)
    assert spread == pytest.approx((mu * (weight - 1) ** 2).sum(axis=1).mean(), abs=1e-12)
    features = np.random.default_rng(1).normal(size=(8, 3))
    np.testing.assert_allclose(Gap(pairs, cap).times(features), (kept - mu) @ features, atol=1e-12)
    np.testing.assert_allclose(Gap(pairs, cap).dense(np.arange(30)), kept - mu, atol=1e-12)


def test_overlap_when_policies_have_a_floor_then_equals_that_of_the_written_out_ones():
    best = np.arange(30) % 8
    target, logging = policies.epsilon_greedy(best, 8, 0.2), policies.epsilon_greedy((best + 1) % 8, 8, 0.4)
    every = np.arange(30)
    found, want = (
        (Overlap.of(pairs, pairs.share()), Gap(pairs, 3.0).times(np.eye(8)))
        for pairs in (Pairs.of(target, logging), Pairs.of(dense(target.dense(every)), dense(logging.dense(every))))
    )
    np.testing.assert_allclose(found[1], want[1], atol=1e-12)
    for cap in (2.0, np.inf):
        np.testing.assert_allclose(found[0].capped(cap), want[0].capped(cap), atol=1e-12)


def test_policy_ess_when_few_of_many_contexts_are_hard_then_is_exact_and_not_that_of_a_sample():
    rng = np.random.default_rng(0)
    contexts, actions = 20_000, 60
    mu = np.full((contexts, actions), 1 / actions)
    hard = rng.choice(contexts, 60, replace=False)  # 0.3 %
    mu[hard] = 1e-6 / (actions - 1)
    mu[hard, 0] = 1 - 1e-6
    pi = np.zeros_like(mu)
    pi[np.arange(contexts), rng.integers(1, actions, contexts)] = 1
    path = convolution("knn", rng.normal(size=(actions, 3)).astype(np.float32), None)
    assert contexts * path.row_cost > 2e8 / 100
    exact = contexts / float((pi**2 / mu).sum(axis=1).mean())
    assert policy_ess(path, dense(pi), dense(mu))[0] == pytest.approx(exact, rel=1e-9)
    found = policy_ess(path, dense(pi), dense(mu), levels=[(0, 0)], overlap=None)[0]
    assert found == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("gap", [0.3, 1.0])
def test_series_when_averaged_over_every_choice_then_holds_the_gain_between(gap):
    """The expectation of both series, by enumeration of every context and action, brackets the gain exactly."""
    pi, mu = random_policies(4)
    pi = (1 - gap) * mu + gap * pi
    q = np.random.default_rng(5).random(mu.shape)
    rows, actions = np.nonzero(mu)
    made = situations.world(np.random.default_rng(0), "any", actions=8)
    log = replace(made.log(0), truth=None, targets={}, logging=None, embeddings=None)
    log = replace(
        log,
        action=actions.astype(np.int32),
        reward=q[rows, actions],
        propensity=mu[rows, actions],
        context_index=rows.astype(np.int32) % len(log.contexts),
        weight=mu[rows, actions],
        logging=dense(mu[rows]),
    )
    target, weight = dense(pi[rows]), (pi / np.where(mu > 0, mu, 1))[rows, actions]
    gain = float(((pi - mu) * q).sum(axis=1).mean())
    share = log.weight / log.weight.sum()
    pairs = Pairs.of(target, log.logging)
    control = control_of(log, crossfit(log, ridge.fit, {"target": target}, 3), {"target": target}, Context())
    known = with_logging_policy(log, pairs, Overlap.of(pairs, pairs.share(log.weight)), weight, control, RANGE)
    only = with_propensities(replace(log, logging=None), weight, None, control, "target", RANGE)
    for series in (known, only):
        assert share @ series.low <= gain + 1e-12
        assert share @ series.high >= gain - 1e-12
    other, others = dense(mu[rows]), np.ones(len(rows))
    both = Pairs.of(other, log.logging)
    same = with_logging_policy(log, both, Overlap.of(both, both.share(log.weight)), others, control, RANGE)
    for apart in (None, total_variation(target, other)):
        found = between(known, same, apart, RANGE)
        assert share @ found.low <= gain + 1e-12
        assert share @ found.high >= gain - 1e-12
    np.testing.assert_allclose(total_variation(target, other), np.abs(pi - mu).sum(axis=1)[rows] / 2, atol=1e-12)


def test_claim_when_values_are_skewed_then_costs_no_more_than_it_says():
    rng = np.random.default_rng(7)
    draws = rng.exponential(size=(4000, 30)) ** 2 - 2.0  # mean 0
    below = np.mean([mean_of(values, 0.0).below() < 0.025 for values in draws])
    plain = np.mean(stats.ttest_1samp(draws, 0, axis=1, alternative="less").pvalue < 0.025)
    above = np.mean([mean_of(values, 0.0).above() < 0.025 for values in draws])
    assert above <= 0.03
    assert below < plain / 2


def test_claim_when_turned_round_then_the_interval_ends_where_its_p_value_is_alpha():
    values = np.random.default_rng(8).exponential(size=200) - 0.7
    for side in (-1.0, 1.0):
        mean = mean_of(side * values, 0.5)
        assert mean_of(side * values - mean.low(0.02), 0.5).above() == pytest.approx(0.02, rel=1e-6)
        assert mean_of(side * values - mean.high(0.02), 0.5).below() == pytest.approx(0.02, rel=1e-6)


def test_claim_when_rounds_of_a_user_are_alike_then_counts_users():
    rng = np.random.default_rng(9)
    user = np.repeat(np.arange(40), 25)
    alike = rng.normal(size=40)[user]
    assert mean_of(alike, 0.0, unit=user).se == pytest.approx(5 * mean_of(alike, 0.0).se, rel=0.02)
    assert np.isinf(mean_of(alike, 0.0, unit=user % 4).se)


def test_sensitivity_when_solved_by_hand_then_is_the_closed_form():
    rng = np.random.default_rng(10)
    reward, weight = rng.random(500), rng.exponential(size=500)
    shifts = Shifts.of(reward, weight)
    for factor in (1.05, 1.5, 3.0):
        over = [
            np.mean(weight * (np.maximum(reward - c, 0) * (1 - 1 / factor) + np.maximum(c - reward, 0) * (factor - 1)))
            for c in np.linspace(0, 1, 2001)
        ]
        assert shifts.down(factor) == pytest.approx(min(over), rel=1e-3)
        assert shifts.up(factor) == pytest.approx(Shifts.of(-reward, weight).down(factor), rel=1e-9)
    turns = shifts.turns_at(0.1, better=True)
    assert shifts.down(turns) == pytest.approx(0.1, abs=1e-6)
    assert shifts.turns_at(-0.1, better=True) == 1.0


@pytest.mark.parametrize("kind", range(len(situations.KINDS)), ids=lambda k: situation(k).name)
def test_verdict_when_a_situation_tempts_then_claims_no_more_than_its_bars(kind):
    logs = 10
    one = situation(kind)
    assert missed(measure(one, logs, 11), logs, one.known) == []


@pytest.mark.parametrize("kind", [2, 3], ids=["deterministic", "deficient"])
def test_verdict_when_mass_is_missing_and_only_propensities_known_then_the_headline_is_bounds(kind):
    one = situation(kind)
    found = policy_convolution(one.log(1), EstimateParams(), Context(seed=0))
    verdict = found.verdict.to_json()["targets"][0]
    assert verdict["status"] == "cannot_tell"
    assert verdict["value"] is None
    value = float(one.share @ (one.pi * one.q).sum(axis=1))
    assert verdict["low"] <= value <= verdict["high"]
    assert "between" in verdict["sentence"]
    assert any(word in verdict["sentence"] for word in ("deterministic log", "never to have been possible"))


def test_verdict_when_propensities_go_wrong_with_the_reward_then_is_not_green_and_names_the_doubt():
    one = replace(situation(6), n=6000)
    found = [outcome(one, seed) for seed in range(6)]
    assert all(each.reliability == "red" for each in found)
    assert {each.statuses for each in found} == {("cannot_tell",)}
    judged = policy_convolution(one.log(0), EstimateParams(), Context(seed=0))
    assert "propensities disagree with the log" in judged.verdict.sentence
    target = judged.verdict.to_json()["targets"][0]
    assert target["p"] is None
    rows = next(table for table in judged.tables if table.name == "comparisons").rows
    assert all("p" not in row for row in rows)


def test_claim_when_propensities_alone_err_with_the_reward_then_the_doubly_robust_gain_stops_it():
    one = replace(named("propensities off with the reward, propensities only"), n=4000)
    ctx, claimed, stopped, held = Context(seed=0), 0, 0, 0
    for seed in range(10):
        log = one.log(seed)
        prepared = prepare(log, log.targets, EstimateParams(estimators=["snips"], reward_model="ridge"), ctx)
        weight = log.targets["target"].at(log.action) / log.propensity
        series = with_propensities(log, weight, None, prepared.control, "target", RANGE)
        alone = gain_of(log, replace(series, second=None), RANGE, 0.05)
        both = gain_of(log, series, RANGE, 0.05)
        assert both.p >= alone.p
        claimed += alone.p < 0.02
        stopped += alone.p < 0.02 <= both.p
        held += both.low <= one.gain <= both.high
    assert claimed >= 7
    assert stopped >= claimed - 3
    assert held >= 6


def test_claim_when_propensities_are_attested_then_they_are_trusted_until_the_model_contradicts():
    one = named("a true gain, propensities attested")
    log = replace(one, gamma=None).log(3)
    plain, attested = (
        policy_convolution(replace(log, attested=word), EstimateParams(), Context(seed=0)) for word in (False, True)
    )
    assert "The upload attests" in attested.protocol
    assert "attests" not in plain.protocol
    for found, factor in ((plain, 1.05), (attested, 1.0)):
        told = json.loads(found.files["estimates.json"])
        assert told["targets"]["target"]["stands_factor"] == factor
    width = [
        one["over_logging_high"] - one["over_logging_low"]
        for one in (found.verdict.to_json()["targets"][0] for found in (plain, attested))
    ]
    assert width[1] <= width[0]


def test_rare_rewards_when_of_users_then_one_user_who_holds_many_events_widens_the_ends():
    size = np.ones(40)
    apart = Events.of(size, 2.0, 10_000, np.arange(40))
    together = Events.of(size, 2.0, 10_000, np.repeat(np.arange(10), 4))
    assert apart == Events.of(size, 2.0, 10_000, None)
    assert together.second == pytest.approx(4 * apart.second)
    assert together.typical == pytest.approx(4 * apart.typical)
    assert together.low(0.025) < apart.low(0.025) < apart.high(0.025) < together.high(0.025)


def test_clusters_when_users_repeat_then_are_the_default_and_turning_them_off_is_recorded():
    log = situation(8).log(2)
    on = policy_convolution(log, EstimateParams(), Context(seed=0))
    off = policy_convolution(log, EstimateParams(cluster_by="round"), Context(seed=0))
    assert "users as independent" in on.protocol
    assert "Rounds of a user were taken as independent" in off.protocol
    wide, narrow = (
        one["over_logging_high"] - one["over_logging_low"]
        for one in (found.verdict.to_json()["targets"][0] for found in (on, off))
    )
    assert wide > 1.2 * narrow
    assert b'"independent": "users"' in on.files["estimates.json"]
    assert b'"independent": "rounds"' in off.files["estimates.json"]


def test_alpha_when_small_then_every_interval_is_wider_the_logging_policys_too(tmp_path: Path):
    log = canonical.load(tiny_bandit(tmp_path, rounds=1500))
    found = [policy_convolution(log, EstimateParams(alpha=alpha), Context(seed=0)) for alpha in (0.2, 0.01)]
    sides = [one.verdict.to_json() for one in found]
    for name in ("logging", "target"):
        spans = [one["logging"] if name == "logging" else one["targets"][0] for one in sides]
        assert spans[0]["high"] - spans[0]["low"] < spans[1]["high"] - spans[1]["low"]
    gains = [one["targets"][0]["over_logging_low"] for one in sides]
    assert gains[1] < gains[0]


def test_verdict_when_no_range_of_rewards_is_declared_and_support_is_unknown_then_says_what_to_declare(tmp_path: Path):
    log = canonical.load(tiny_bandit(tmp_path, rounds=1500))
    amounts = replace(log, logging=None, reward=log.reward * 3.5, reward_range=None)
    found = policy_convolution(amounts, EstimateParams(), Context(seed=0))
    assert found.verdict.status == "cannot_tell"
    assert "r_min and r_max" in found.verdict.settled_by
    declared = policy_convolution(amounts, EstimateParams(r_min=0, r_max=3.5), Context(seed=0))
    assert declared.verdict.status == "better"


def test_gain_when_a_dozen_rewards_came_then_its_interval_from_counts_holds_on_both_sides():
    one = replace(situation(23), n=2500)
    one = replace(one, q=one.q * 12 / 2500 / float(one.share @ (one.mu * one.q).sum(axis=1)))
    ctx, below, above = Context(seed=0), 0, 0
    for seed in range(60):
        log = one.log(seed)
        prepared = prepare(log, log.targets, EstimateParams(estimators=["snips"], reward_model="ridge"), ctx)
        pairs = Pairs.of(log.targets["target"], log.logging)
        overlap, weight = Overlap.of(pairs, pairs.share()), log.targets["target"].at(log.action) / log.propensity
        series = with_logging_policy(log, pairs, overlap, weight, prepared.control, RANGE)
        counted = gain_of(log, series, RANGE, 0.05)
        below += one.gain < counted.low
        above += one.gain > counted.high
        assert (counted.p < 0.05) == (not counted.low <= 0 <= counted.high)
    assert below <= 5
    assert above <= 5


def test_events_when_weights_are_one_then_the_ends_are_those_of_a_poisson_count():
    n, count, alpha = 10_000, 12, 0.025
    found = Events(count / n, count / n**2, 1 / n)
    assert found.low(alpha) == pytest.approx(stats.chi2.ppf(alpha, 2 * count) / 2 / n, rel=1e-12)
    assert found.high(alpha) == pytest.approx(stats.chi2.ppf(1 - alpha, 2 * count + 2) / 2 / n, rel=1e-12)
    assert Events(0.0, 0.0, 1 / n).high(alpha) == pytest.approx(stats.chi2.ppf(1 - alpha, 2) / 2 / n, rel=1e-12)


def test_typical_weights_when_capped_then_equal_the_sums_over_all_actions():
    pi, mu = random_policies(2)
    pairs = Pairs.of(dense(pi), dense(mu))
    overlap = Overlap.of(pairs, pairs.share())
    for cap in (2.0, 5.0, np.inf):
        over = np.minimum(np.divide(pi, mu, out=np.ones_like(mu), where=mu > 0), cap) - 1
        for found, part in zip(overlap.typical(cap), (np.maximum(over, 0), np.maximum(-over, 0)), strict=True):
            assert found == pytest.approx((mu * part**3).sum() / (mu * part**2).sum(), rel=1e-9)


def test_difference_when_a_twentieth_of_a_better_policy_is_mixed_in_then_is_seen_at_the_noise_of_that_twentieth():
    """The floor follows from the policies' difference: a small change of policy has a small interval."""
    rng = np.random.default_rng(12)
    made = situations.gaining(lambda rng: situations.world(rng, "mixed"), rng, 0.05, 0.05)
    mixed = replace(made, targets=(made.mu + 10 * (made.pi - made.mu),))
    seen, widths = 0, []
    for seed in range(10):
        log = mixed.log(seed)
        found = policy_convolution(log, EstimateParams(estimators=["snips"], reward_model="ridge"), Context(seed=0))
        first, second = found.verdict.to_json()["targets"]
        seen += first["status"] == "better"
        widths.append((first["over_logging_high"] - first["over_logging_low"], first["high"] - first["low"]))
        assert second["over_logging_high"] - second["over_logging_low"] > widths[-1][0]
    assert seen >= 8
    assert np.mean([gain / value for gain, value in widths]) < 0.5


def test_difference_when_two_targets_are_the_same_then_is_nothing_and_no_claim():
    one = named("a true gain, policy known")
    log = replace(one, targets=(one.pi,)).log(0)
    found = policy_convolution(log, EstimateParams(estimators=["snips"]), Context(seed=0))
    rows = next(table for table in found.tables if table.name == "comparisons").rows
    same = next(row for row in rows if row["second"] == "target 2")
    assert [same[name] for name in ("value", "low", "high")] == pytest.approx([0.0] * 3, abs=1e-12)
