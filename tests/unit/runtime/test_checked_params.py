"""Parameters that a schema lets pass and that do not go together: refused as the user's, not as a fault of ours."""

from __future__ import annotations

import pytest

from worker.contract.errors import JobError
from worker.kinds.interactions.judge import EvaluateParams
from worker.kinds.text.methods.random import RandomParams
from worker.runtime.attempt import checked


def test_params_when_fields_exclude_each_other_then_refused_by_name():
    with pytest.raises(JobError) as refused:
        checked(RandomParams, {"budget": 5, "k": 3}, "/params")
    assert refused.value.code == "invalid_params"
    assert refused.value.detail == "params: give one of budget, k, not several."
    assert refused.value.pointer == "/params"
    with pytest.raises(JobError, match="metric ndcg@7 needs its list length in k"):
        checked(EvaluateParams, {"metric": "ndcg@7"}, "/evaluate")


def test_params_when_one_is_out_of_bounds_then_its_place_is_named():
    with pytest.raises(JobError) as refused:
        checked(RandomParams, {"rate": 2.0}, "/params")
    assert refused.value.pointer == "/params/rate"
    assert checked(RandomParams, {"rate": 0.5}, "/params").rate == 0.5
