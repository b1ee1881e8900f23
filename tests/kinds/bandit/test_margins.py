"""Not worse by a margin, guardrails that hold or are broken, and what the headline makes of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from benchmarks.off_policy.small_world import expected, gain_series, world
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimation.guardrails import Guarded, statuses, together
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.gain.claim import mean_of
from worker.kinds.bandit.gain.gain import Gain, Margin, gain_of
from worker.kinds.bandit.gain.rare import Events, RareMean
from worker.kinds.bandit.gain.series import Series
from worker.kinds.bandit.methods.policy_convolution import policy_convolution

RANGE = (0.0, 1.0)


def estimate(log: BanditLog, **params):
    return policy_convolution(log, EstimateParams.model_validate(params), Context())


def test_margin_when_tested_then_is_the_test_of_zero_on_values_moved_by_it():
    log, series = gain_series(world(-0.01).log(2000, 0))
    found = gain_of(log, series, RANGE, 0.05, margin=0.03).margin
    moved = mean_of(series.low + 0.03, _undrawn(log, series))
    assert found is not None
    assert found.p_within == pytest.approx(moved.above(), rel=1e-12)
    assert found.p_beyond == pytest.approx(moved.below(), rel=1e-12)
    # Many rounds and little skew: nearly Student's one-sided test, which knows nothing of our corrections.
    student = stats.ttest_1samp(series.low, -0.03, alternative="greater").pvalue
    assert found.p_within == pytest.approx(student, rel=0.2)


def _undrawn(log: BanditLog, series: Series) -> float:
    return series.spread * float(np.max(np.abs(log.reward - log.reward.mean()))) ** 2


def test_margin_when_rewards_are_rare_then_moves_the_interval_of_counts():
    rare = RareMean(Events(0.01, 1e-6, 1e-4), Events(0.004, 4e-7, 1e-4), 1.0, 1, 0.0)
    moved = rare.moved(0.002)
    assert moved.low(0.05) == pytest.approx(rare.low(0.05) + 0.002)
    assert moved.above() < rare.above()


@pytest.mark.parametrize("seed", [0, 1])
def test_not_worse_when_the_loss_is_the_margin_itself_then_is_claimed_in_one_log_of_a_hundred(seed):
    """The worst case of the null, 300 logs: a claim at 1 % a side, so more than 10 have probability 3e-4."""
    there = world(-0.03, seed)
    false = 0
    for draw in range(300):
        log, series = gain_series(there.log(600, 1000 * seed + draw))
        margin = gain_of(log, series, RANGE, 0.05, margin=0.03, sensitive=False).margin
        assert margin is not None
        false += margin.p_within < 0.01
    assert false <= 10


def test_not_worse_when_nothing_is_gained_and_the_margin_is_wide_then_is_claimed_and_without_one_nothing_is():
    log = world(0.0).log(4000, 1)
    without = estimate(log)
    assert without.verdict.status == "cannot_tell"
    found = estimate(log, margin=0.08)
    assert found.verdict.status == "not_worse"
    assert "would not have done worse (green)" in found.headline
    assert "the margin of 0.0800" in found.verdict.sentence
    assert found.verdict.details["targets"][0]["p_within_margin"] < 0.02
    narrow = estimate(log, margin=0.001)
    assert narrow.verdict.status == "cannot_tell"
    assert any("within the margin" in reason for reason in narrow.verdict.reasons)


def test_not_worse_when_the_target_is_better_then_better_is_said():
    assert estimate(world(0.08).log(4000, 1), margin=0.05).verdict.status == "better"


def test_not_worse_when_propensities_disagree_with_the_log_then_is_not_claimed():
    log = world(0.0).log(4000, 1)
    wrong = replace(log, logging=log.targets["target"], propensity=log.targets["target"].at(log.action))
    found = estimate(replace(wrong, targets={"other": log.logging}), margin=0.5)
    assert found.verdict.status == "cannot_tell"
    assert found.headline.startswith("The logs cannot tell: the propensities disagree with the log")
    assert found.headline.endswith("(red)")


def guarded_log(gain: float, guardrail_gain: float, rounds: int = 4000, seed: int = 2) -> BanditLog:
    there = world(gain)
    log = there.log(rounds, seed)
    q = expected(there.mu, there.pi, guardrail_gain, 5)
    return replace(log, guardrails={"complaints": 1 - there.binary(log, q, seed), "sales": there.binary(log, q, seed)})


@pytest.mark.parametrize(
    ("guardrail_gain", "margin", "status", "said"),
    [
        (0.0, 0.1, "holds", "would have done better, and the guardrails hold (green)"),
        (-0.1, 0.02, "broken", "would have done better, but complaints and sales are broken (green)"),
        (0.0, 0.001, "cannot_tell", "but the logs cannot tell whether complaints and sales hold (green)"),
    ],
)
def test_guardrails_when_given_margins_then_are_decided_and_the_headline_says_so(guardrail_gain, margin, status, said):
    log = guarded_log(0.08, guardrail_gain)
    asked = {"complaints": {"margin": margin, "lower_is_better": True}, "sales": {"margin": margin}}
    found = estimate(log, guardrails=asked)
    assert found.verdict.status == "better"
    assert found.headline.endswith(said)
    assert found.verdict.details["targets"][0]["guardrails"] == {"complaints": status, "sales": status}
    assert bool(found.verdict.caveat) == (status != "holds")
    rows = next(table for table in found.tables if table.name == "guardrails").rows
    # Complaints are 1 - sales: the same numbers in the other direction.
    assert rows[0]["gain"] == pytest.approx(-rows[1]["gain"], abs=1e-3)
    assert [row["allowed"] for row in rows] == [margin, -margin]
    assert rows[1]["low"] <= guardrail_gain <= rows[1]["high"]


def test_guardrails_when_no_margin_is_given_then_are_shown_and_change_nothing():
    found = estimate(guarded_log(0.08, -0.1))
    assert found.headline == "target would have done better (green)"
    rows = next(table for table in found.tables if table.name == "guardrails").rows
    assert [row["status"] for row in rows] == ["No margin given"] * 2
    assert not found.verdict.caveat


def test_guardrails_when_unknown_then_the_known_ones_are_named():
    with pytest.raises(JobError) as refused:
        estimate(guarded_log(0.08, 0.0), guardrails={"revenue": {"margin": 1}})
    assert "complaints, sales" in refused.value.hint


def test_guardrails_when_their_range_is_broken_then_are_refused():
    with pytest.raises(JobError) as refused:
        estimate(guarded_log(0.08, 0.0), guardrails={"sales": {"margin": 0.1, "r_min": 0.5, "r_max": 1}})
    assert refused.value.pointer == "/params/guardrails/sales/r_min"


def one(p_within: float, p_beyond: float = 1.0, trust: float = 1.0, doubts: tuple[str, ...] = ()) -> Guarded:
    gain = Gain(0.0, 1.0, -1.0, 1.0, 0.5, 0.5, margin=Margin(0.1, p_within, p_beyond, 1.2, 1.2))
    return Guarded("g", 0.5, False, gain, doubts, trust)


def test_guardrails_when_there_are_many_then_holding_is_not_corrected_and_broken_is():
    holds, broken = one(0.009), one(1.0, 0.009)
    assert statuses([(holds,) * 10], 0.05) == [("holds",) * 10]
    assert statuses([(broken,)], 0.05) == [("broken",)]
    assert statuses([(broken, *[one(0.4, 0.6)] * 9)], 0.05)[0][0] == "cannot_tell"


def test_guardrails_when_doubted_or_sensitive_then_nothing_is_decided():
    assert statuses([(one(1e-9, doubts=("wrong",)),)], 0.05) == [("cannot_tell",)]
    assert statuses([(one(1e-9, trust=1.3),)], 0.05) == [("cannot_tell",)]


def test_together_when_over_several_targets_then_is_holm_of_the_largest_part():
    parts = [(one(0.001), one(0.004)), (one(0.002),), ()]
    # joint: max(.003, .008) = .008; max(.03, .004) = .03; .001
    assert together([0.003, 0.03, 0.001], parts) == pytest.approx([0.016, 0.03, 0.003])


def test_together_when_one_guardrail_lies_at_its_margin_then_a_false_claim_is_as_rare_as_one_test_allows():
    """The target is much better and one of two guardrails exactly at its margin, 200 logs."""
    there = world(0.1, 3)
    at, fine = (expected(there.mu, there.pi, gain, 9) for gain in (-0.03, 0.03))
    false = 0
    for seed in range(200):
        log = there.log(600, seed)
        claims = []
        for values, margin in (
            (log.reward, 0.0),
            (there.binary(log, at, seed), 0.03),
            (there.binary(log, fine, seed), 0.03),
        ):
            some, series = gain_series(log, values)
            tested = gain_of(some, series, RANGE, 0.05, margin=margin, sensitive=False).margin
            assert tested is not None
            claims.append(tested.p_within < 0.01)
        false += all(claims)
    assert false <= 8
