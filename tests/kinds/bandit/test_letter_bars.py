"""The bars of learning with deficient support, on UCI Letter, where that lies beside the clone."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.off_policy.letter import BARS, FRESH, judged, letters, logged, logging_policy
from tests.shared_data import shared
from worker.contract.context import Context
from worker.kinds.bandit.learning.params import PolicyGradientParams
from worker.kinds.bandit.methods.policy_gradient import policy_gradient


@pytest.mark.slow
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_letter_when_learnt_with_the_defaults_then_is_rescued_from_the_catastrophe(temperature):
    data = letters(shared("letter"), FRESH[0])
    log = logged(data, temperature, seed=0)
    support = logging_policy(data, temperature) > 0

    def outcome(**params: object) -> tuple[float, float, float]:
        learnt = policy_gradient(log, PolicyGradientParams.model_validate(params), Context(seed=0))
        return judged(data, learnt.policy_on(log).dense(np.arange(log.n)), support)

    _, fallen, unsupported = outcome(k=1.0)
    _, value, mass = outcome()
    assert fallen <= BARS["ips_at_k_1_at_most"]
    assert unsupported > 0.95
    assert value >= BARS["minsup_value_at_least"]
    assert mass < 0.4
