"""Hyper-parameters chosen by SLOPE++ from each estimator's grid, alone and in a job."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tests.planted_bandit import tiny_bandit
from worker.contract.context import Context
from worker.kinds.bandit import canonical
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.estimators import ESTIMATORS, Terms
from worker.kinds.bandit.methods.policy_convolution import policy_convolution
from worker.kinds.bandit.selection.slope import tuned

WITH_GRID = ["cips", "switch", "dros", "sgips", "sgdr"]


def terms(largest: float, seed: int = 0, n: int = 4_000) -> Terms:
    """Weights of mean 1 up to `largest`, rewards of 1, a model that predicts 0.9 of it."""
    rng = np.random.default_rng(seed)
    share = 0.5 / largest
    weight = np.where(rng.random(n) < share, largest, 0.5 / (1 - share))
    return Terms(np.ones(n), weight, np.full(n, 0.9), np.full(n, 0.9))


@pytest.mark.parametrize("name", WITH_GRID)
def test_tuned_when_asked_then_the_pick_is_one_of_the_grid(name):
    assert tuned(ESTIMATORS[name], terms(50.0)) in ESTIMATORS[name].hyper.grid


def test_tuned_when_no_weight_reaches_a_limit_then_the_estimate_is_the_unclipped_one():
    small = terms(3.0)
    setting = tuned(ESTIMATORS["switch"], small)
    assert ESTIMATORS["switch"](small, setting).value == ESTIMATORS["dr"](small).value


def test_tuned_when_a_limit_biases_beyond_the_widths_then_it_is_not_taken():
    # A quarter of the value rests on weights of 40, which clipping at 10 cuts to a quarter.
    heavy = terms(40.0, n=400_000)
    assert tuned(ESTIMATORS["cips"], heavy) >= 50.0
    assert ESTIMATORS["cips"](heavy, 10.0).value < 0.8


def test_tuned_when_the_estimator_has_no_grid_then_says_so():
    with pytest.raises(ValueError, match="nothing to tune"):
        tuned(ESTIMATORS["ips"], terms(2.0))


def test_estimate_when_lambda_is_tuned_then_the_table_names_the_setting(tmp_path: Path):
    log = canonical.load(tiny_bandit(tmp_path))
    params = EstimateParams.model_validate({"estimators": ["switch", "sgdr"], "lambda": {"sgdr": "tuned", "switch": 7}})
    found = policy_convolution(log, params, Context())
    rows = json.loads(found.files["estimates.json"])["targets"]["target"]["estimates"]
    settings = {row["estimator"]: row["setting"] for row in rows}
    assert settings["switch"] == {"limit": 7.0}
    assert settings["sgdr"]["amount"] in ESTIMATORS["sgdr"].hyper.grid


@pytest.mark.parametrize("given", [{"swich": 3}, {"switch": -1}, {"switch": "best"}])
def test_params_when_lambda_names_nothing_known_then_refused(given):
    with pytest.raises(ValidationError):
        EstimateParams.model_validate({"lambda": given})
