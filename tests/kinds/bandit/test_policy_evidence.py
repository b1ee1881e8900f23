"""Judging learnt policies on held-out rounds: verdicts, anchors, and honesty about what was never tried."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.kinds.bandit.digits_log import digits
from worker.contract.context import Context
from worker.contract.errors import TimeOver
from worker.evidence.findings import Findings
from worker.evidence.report import plain
from worker.kinds.bandit.dataset import split_rounds
from worker.kinds.bandit.judge import EvaluateParams, best_action, judge_policy
from worker.kinds.bandit.learning.params import PolicyGradientParams
from worker.kinds.bandit.methods.policy_gradient import policy_gradient
from worker.kinds.bandit.summary import LearntPolicy


@pytest.fixture(scope="module")
def rescued() -> LearntPolicy:
    return policy_gradient(digits().log, PolicyGradientParams(k_grid=[0.15, 1.0], epochs=30), Context(seed=0))


@pytest.mark.parametrize("estimator", ["snips", "dr", "sndr"])
def test_verdict_when_the_learnt_policy_is_better_then_says_so_with_the_truth_near_its_interval(rescued, estimator):
    found = judge_policy(digits().log, rescued, EvaluateParams(estimator=estimator), Context(seed=0))
    assert found.verdict.status == "better"
    assert found.n_test == len(split_rounds(digits().log, 0).test)
    policies = {row["policy"]: row for row in _policies(found)}
    assert set(policies) == {"Learnt policy", "Uniform policy", "Best single action", "Logging policy"}
    mine, logged = policies["Learnt policy"], policies["Logging policy"]
    assert mine["over_low"] > 0
    test = split_rounds(digits().log, 0).test
    assert logged["value"] == pytest.approx(digits().log.reward[test].mean())
    # Three rounds a context move together, so the truth may lie a little outside of an interval for single rounds.
    truth = digits().test_value(rescued.policy_on(digits().log).dense(np.arange(digits().log.n)))
    assert abs(mine["value"] - truth) < 0.12
    assert abs(mine["weight"] - 1) < 0.15
    json.dumps(plain(found.verdict.to_json()), allow_nan=False)


def test_verdict_when_the_policy_fled_to_untried_actions_then_the_logs_cannot_tell():
    fled = policy_gradient(digits().log, PolicyGradientParams(k=1.0, epochs=30), Context(seed=0))
    found = judge_policy(digits().log, fled, EvaluateParams(), Context(seed=0))
    assert found.verdict.status == "cannot_tell"
    assert "never possible in the log" in found.verdict.sentence
    mine = _policies(found)[0]
    assert mine["unsupported"] > 60
    assert mine["weight"] < 0.3
    assert any("never takes" in text for text in found.warnings)


def test_evidence_when_several_k_were_tried_then_shows_how_the_choice_was_made(rescued):
    found = judge_policy(digits().log, rescued, EvaluateParams(), Context(seed=0))
    tried = next(table for table in found.tables if table.name == "tried")
    assert [row["chosen"] for row in tried.rows] == ["chosen", ""]
    assert {plot.name for plot in found.plots} == {"policies", "k"}
    assert "chosen among 2 by minsup" in found.protocol


def test_evidence_when_only_propensities_are_known_then_still_judges(rescued):
    log = replace(digits().log, logging=None)
    found = judge_policy(log, rescued, EvaluateParams(), Context(seed=0))
    assert found.verdict.status == "better"
    assert _policies(found)[0]["unsupported"] is None


def test_evidence_when_time_ends_before_the_anchors_are_estimated_then_says_which_are_missing(rescued):
    class Short(Context):
        def report_progress(self, step, total, phase, metrics, fraction):
            if phase == "estimate: uniform policy":
                raise TimeOver

    found = judge_policy(digits().log, rescued, EvaluateParams(), Short(seed=0))
    assert found.unfinished == "the uniform policy and best single action could not be estimated."
    assert [row["policy"] for row in _policies(found)] == ["Learnt policy", "Logging policy"]
    assert found.verdict.status == "better"
    assert found.verdict.sentence.startswith("The learnt policy would have earned")


def test_best_single_action_when_rewards_are_negative_then_is_not_the_one_never_tried():
    log = digits().log
    shifted = replace(log, reward=log.reward - 1, reward_range=None)
    assert best_action(shifted) == best_action(log)
    assert 0 <= best_action(log) < 10


def test_decisions_when_a_policy_was_learnt_then_lead_the_tables_beside_the_logging_policy(rescued):
    found = judge_policy(digits().log, rescued, EvaluateParams(), Context(seed=0))
    assert [table.name for table in found.tables[:2]] == ["decisions", "policies"]
    (row,) = found.tables[0].rows
    assert row["target"] == "The learnt policy"
    assert row["decision"] == "Better than the logging policy"
    assert row["low"] == pytest.approx(_policies(found)[0]["over_low"])
    assert found.headline.endswith(f"({row['reliability']})")


def _policies(found: Findings) -> tuple[dict[str, Any], ...]:
    return next(table for table in found.tables if table.name == "policies").rows
