"""What is said of learners that write tokens beside learners that rank."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from tests.kinds.sequences.planted import planted
from worker.contract.context import Context
from worker.contract.learner import Learner
from worker.evidence.training import Plan
from worker.evidence.verdict import Verdict
from worker.kinds.sequences import generative_report
from worker.kinds.sequences.evaluate_params import evaluate_params
from worker.kinds.sequences.generative_report import ITEMS, TOKENS, verdict_of
from worker.kinds.sequences.methods.generative import GenerativeParams, generative

CASES = 400


def scores(mean: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.arange(CASES) < mean * CASES).astype(float)


def said(own: float, **others: float) -> Verdict:
    names = {"items": ITEMS}
    given = {names.get(name, name): scores(mean, 1 + at) for at, (name, mean) in enumerate(others.items())}

    def prepare(*_: object) -> object:
        raise AssertionError

    by_name: Mapping[str, Learner] = {
        name: Learner(name, name, "sequences", prepare=prepare, floor=name == "markov") for name in given
    }
    return verdict_of(scores(own, 0), given, by_name, "nDCG@10", 200, 0)


@pytest.mark.parametrize(
    ("others", "status"),
    [
        ({"items": 0.2, "markov": 0.1}, "ahead"),
        ({"items": 0.2, "markov": 0.7}, "undetermined"),
        ({"items": 0.2, "markov": 0.5}, "undetermined"),
        ({"items": 0.8, "markov": 0.7}, "cheap_is_better"),
        ({"items": 0.5, "markov": 0.1}, "cheap_would_do"),
        ({"markov": 0.7}, "undetermined"),
        ({"markov": 0.1}, "measured"),
    ],
)
def test_tokens_when_a_floor_is_not_beaten_then_are_never_ahead(others: dict[str, float], status: str):
    verdict = said(0.5, **others)
    assert verdict.status == status
    unbeaten = others.get("markov", 0) >= 0.5
    assert bool(verdict.reasons) == unbeaten
    assert ("does not beat its floor" in verdict.sentence) == unbeaten
    assert TOKENS not in verdict.sentence


def test_learners_beside_are_trained_for_as_many_steps_as_were_asked_for(monkeypatch: pytest.MonkeyPatch):
    class Seen(Exception):
        pass

    def planned(plan: Plan, _: Context) -> None:
        raise Seen(plan)

    monkeypatch.setattr(generative_report, "train_all", planned)
    ctx = Context(seed=3, evaluate=evaluate_params()(learners=["sasrec"], k=[10], steps=40))
    with pytest.raises(Seen) as seen:
        generative(planted(60), GenerativeParams(), ctx)
    sasrec = next(one for one in seen.value.args[0].learners if one.name == "sasrec")
    assert {one["steps"] for one in sasrec.settings} == {20, 40}
    assert sasrec.further is None
    assert sasrec.seeds == 1
