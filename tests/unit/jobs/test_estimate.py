"""What a job will take, from announced terms."""

from __future__ import annotations

from typing import Any

import pytest

from app.jobs.budgets import budget_said
from app.jobs.estimate import budget_in_units, estimate, total

KNOWN: dict[str, Any] = {
    "users": 400,
    "events_per_split": {"train": 9_000},
    "options": {"split": "leave_2"},
    "params": {"steps": 50, "fast": True, "name": "x"},
    "evaluate": {"draws": 3, "learners": ["ease", "infinite-ae"]},
    "budget": 20,
}


def term(value: float, powers: dict[str, float] | None = None, **only: Any) -> dict[str, Any]:
    """A term as it is announced; `only` with __ for dots."""
    return {
        "value": value,
        "powers": powers or {},
        "only": {name.replace("__", "."): wanted for name, wanted in only.items()},
    }


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        pytest.param([term(2.5)], 2.5, id="constant"),
        pytest.param([term(0.01, {"users": 1, "params.steps": 1}), term(1)], 201, id="sum-of-products"),
        pytest.param([term(3, {"users": 0.5})], 60, id="root"),
        pytest.param([term(800, {"users": -1})], 2, id="inverse"),
        pytest.param([term(1, {"budget": 2})], 400, id="budget"),
        pytest.param([term(0.001, {"events_per_split.train": 1})], 9, id="nested-statistic"),
        pytest.param([term(1), term(5, evaluate__learners="infinite-ae")], 6, id="in-a-list"),
        pytest.param([term(1), term(5, evaluate__learners="itemknn")], 1, id="not-in-the-list"),
        pytest.param([term(1), term(5, options__split="leave_2", params__steps=50)], 6, id="all-fields-agree"),
        pytest.param([term(1), term(5, options__split="leave_2", params__steps=51)], 1, id="one-differs"),
        pytest.param([term(1), term(5, {"unheard": 1}, params__name="y")], 1, id="unknown-but-not-counted"),
        pytest.param([term(1.23456)], 1.23, id="three-digits"),
        pytest.param([], None, id="not-announced"),
        pytest.param([term(1), term(5, {"unheard": 1})], None, id="unknown"),
        pytest.param([term(5, {"params.name": 1})], None, id="a-text-is-no-quantity"),
        pytest.param([term(5, {"params.fast": 1})], None, id="a-truth-value-is-no-quantity"),
    ],
)
def test_total_when_terms_are_announced_then_their_sum(terms: list[dict[str, Any]], expected: float | None) -> None:
    assert total(terms, KNOWN) == expected


@pytest.mark.parametrize("steps", [10**400, 1e308])
def test_total_when_it_is_beyond_numbers_then_unknown(steps: float) -> None:
    assert total([term(10, {"params.steps": 1})], {"params": {"steps": steps}}) is None


@pytest.mark.parametrize(
    ("budget", "units", "expected"),
    [
        (500, 1000, 500),
        ("500", 1000, 500),
        ("1%", 1000, 10),
        (" 2.5 % ", 1000, 25),
        ("1%", None, None),
        ("150kB", 1000, None),
        (None, 1000, None),
        (True, 1000, None),
    ],
)
def test_budget_when_given_then_in_units_where_they_are_known(
    budget: object, units: object, expected: float | None
) -> None:
    assert budget_in_units(budget, units) == expected


def test_estimate_when_a_budget_is_a_share_then_of_the_kinds_units() -> None:
    cost = {
        "memory_mb": 700,
        "units": "users",
        "estimate": {"seconds": [term(2, {"budget": 1})], "memory_mb": []},
        "judging": {"seconds": [term(1, {"evaluate.draws": 1})], "memory_mb": [term(1, {"users": 1})]},
    }
    assert estimate(cost, {"users": 400}, {"budget": "5%"}, {"draws": 7}) == {
        "seconds": 40,
        "memory_mb": 700,
        "judging": {"seconds": 7, "memory_mb": 400},
    }
    for budget, of_bytes in (("5kB", False), ("5%", True)):
        in_bytes = estimate(cost, {"users": 400}, {"budget": budget}, {"draws": 7}, of_bytes=of_bytes)
        assert (in_bytes["seconds"], in_bytes["judging"]["seconds"]) == (None, 7)
    assert estimate(cost, {"users": 400}, {"budget": "20"}, {"draws": 7}, of_bytes=True)["seconds"] == 40


def test_estimate_when_nothing_was_announced_then_unknown() -> None:
    unknown = {"seconds": None, "memory_mb": None}
    assert estimate({}, {}, {}, {}) == {**unknown, "judging": unknown}


def test_budget_when_said_as_units_for_each_of_a_quantity_then_is_known_in_units():
    schema = {"properties": {"budget": {}, "ipc": {"units_each": "classes", "units_unsaid": 1}}}
    statistics = {"classes": 10}
    assert budget_said({"budget": None, "ipc": 5}, schema, statistics) == 50
    assert budget_said({"budget": None, "ipc": None}, schema, statistics) == 10
    assert budget_said({"budget": "1%", "ipc": None}, schema, statistics) == "1%"
    assert budget_said({"budget": None}, schema, {}) is None
    assert budget_said({}, {"properties": {"budget": {}}}, statistics) is None
