"""Our estimators against obp 0.5.7 on one log: same formulas, same conventions of clipping, switching and shrinking.

The reference is made by benchmarks/off_policy/obp_reference.py, which obp computes in an environment of its own.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worker.kinds.bandit.estimators import ESTIMATORS, Terms
from worker.kinds.bandit.estimators.marginalized import marginal_weight
from worker.kinds.bandit.policies import dense

REFERENCE = json.loads((Path(__file__).parent / "obp_reference.json").read_text())
CASES = [(name, case["hyper"], case["value"]) for name, cases in REFERENCE["values"].items() for case in cases]
SHARED = {"dm", "ips", "cips", "snips", "dr", "sndr", "switch", "dros", "sgips", "sgdr", "mips", "snmips"}


def shares(table: Any) -> np.ndarray:
    counts = np.asarray(table, np.float64)
    return counts / counts.sum(axis=-1, keepdims=True)


def terms_of(name: str) -> Terms:
    given = REFERENCE["inputs"]
    logging, target = shares(given["logging"]), shares(given["target"])
    action, rounds = np.asarray(given["action"]), np.arange(len(given["action"]))
    q = np.asarray(given["predicted_tenths"]) / 10.0
    reward = np.asarray(given["reward_tenths"]) / 10.0
    if name in ("mips", "snmips"):
        kept = 1 if name == "snmips" else None  # with two dimensions obp's SN-MIPS is another estimator
        tables = list(shares(given["embedding_given_action"]))[:kept]
        weight = marginal_weight(dense(logging), dense(target), np.asarray(given["embedding"])[:, :kept], tables)
        return Terms(reward, weight)
    weight = dense(target).at(action) / dense(logging).at(action)
    return Terms(reward, weight, q[rounds, action], (target * q).sum(axis=1))


@pytest.mark.parametrize(("name", "hyper", "value"), CASES, ids=lambda given: str(given)[:10])
def test_estimate_when_obp_computes_the_same_then_agrees_to_1e_10(name, hyper, value):
    setting = math.inf if hyper == "inf" else hyper
    assert ESTIMATORS[name](terms_of(name), setting).value == pytest.approx(value, rel=0, abs=1e-10)


def test_reference_when_read_then_holds_every_shared_estimator_at_more_than_one_setting():
    assert REFERENCE["versions"]["obp"] == "0.5.7"
    assert {name for name, _, _ in CASES} == SHARED
    for name in ("cips", "switch", "dros", "sgips", "sgdr"):
        values = [value for other, _, value in CASES if other == name]
        assert len({round(value, 6) for value in values}) == len(values) >= 4


@pytest.mark.parametrize("name", ["dros", "sgips", "sgdr"])
def test_estimate_when_obp_divides_zero_by_zero_then_ours_is_the_limit(name):
    terms = terms_of(name)
    assert np.any(terms.weight == 0)
    found = ESTIMATORS[name](terms, 0.0 if name == "dros" else 1.0).value
    ones = Terms(terms.reward, np.ones(len(terms.reward)), terms.q_logged, terms.dm)
    limit = {"dros": ESTIMATORS["dm"](terms), "sgips": ESTIMATORS["ips"](ones), "sgdr": ESTIMATORS["dr"](ones)}[name]
    assert found == pytest.approx(limit.value, abs=1e-12)
