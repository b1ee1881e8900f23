"""The record of a verdict: closed words, each with one tone and one label, and the one rule on cheap alternatives."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, get_args

import pytest

from worker.evidence.verdict import WORDS, Status, Verdict, beside_cheap

VERDICT = Verdict("better", "It is better.", 0.3, 0.2, 0.4, "reward a round", details={"targets": [{"name": "a"}]})


def test_every_status_has_one_tone_and_one_label_of_its_own() -> None:
    assert set(WORDS) == set(get_args(Status))
    assert {tone for tone, _ in WORDS.values()} == {"good", "even", "open"}
    assert len({label for _, label in WORDS.values()}) == len(WORDS)


def test_json_holds_the_fields_and_the_details_side_by_side() -> None:
    fields = VERDICT.to_json()
    assert fields["status"] == "better"
    assert fields["targets"] == [{"name": "a"}]
    assert (fields["value"], fields["low"], fields["high"], fields["unit"]) == (0.3, 0.2, 0.4, "reward a round")
    assert (fields["tone"], fields["label"]) == ("good", "Better than the logging policy")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": "fine"}, "not a status"),
        ({"sentence": ""}, "lacks its sentence"),
        ({"details": {"value": 1}}, "cannot be called value"),
    ],
)
def test_verdict_that_breaks_the_contract_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(VERDICT, **change)


def test_caveat_takes_the_good_tone_and_leaves_the_others() -> None:
    assert replace(VERDICT, caveat="is larger than its source").tone == "even"
    assert replace(VERDICT, status="undetermined", caveat="is larger than its source").tone == "open"


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [
        (0.001, 0.2, "ahead"),
        (-0.2, -0.001, "cheap_is_better"),
        (-0.1, 0.3, "cheap_would_do"),
        (0.0, 0.0, "cheap_would_do"),
        (math.nan, math.nan, "undetermined"),
    ],
)
def test_paired_difference_decides_what_is_said_beside_a_cheap_alternative(
    low: float, high: float, status: str
) -> None:
    assert beside_cheap(low, high) == status


def test_difference_of_rounding_alone_when_judged_then_the_cheap_one_would_do() -> None:
    assert [beside_cheap(-2e-16, -1e-16), beside_cheap(1e-16, 2e-16)] == ["cheap_would_do"] * 2
    assert [beside_cheap(-2e-6, -1e-6), beside_cheap(1e-6, 2e-6)] == ["cheap_is_better", "ahead"]
