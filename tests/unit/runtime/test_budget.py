"""A budget in units, as a share, or in bytes."""

from __future__ import annotations

import re

import pytest
from pydantic import BaseModel, ValidationError

from worker.contract.budget import Budget, resolve, resolve_bytes
from worker.contract.errors import JobError


class Params(BaseModel):
    budget: Budget = 500


@pytest.mark.parametrize(
    ("budget", "units"),
    [
        (50, 50),
        ("50", 50),
        ("1%", 10),
        ("0.5 %", 5),
        ("2kB", 20),
        ("0.003MB", 30),
        ("990B", 9),
        (1e2, 100),
    ],
)
def test_resolve_when_given_in_any_form_then_counts_units(budget, units: int):
    assert resolve(Params(budget=budget).budget, total_units=1000, bytes_per_unit=100) == units


@pytest.mark.parametrize(
    ("budget", "code"),
    [
        (4, "budget_too_small"),
        ("99.9%", "budget_too_large"),
        (1000, "budget_too_large"),
        ("9" * 400, "budget_too_large"),
        ("9" * 400 + "%", "budget_too_large"),
        ("9" * 400 + "GB", "budget_too_large"),
        (10**300, "budget_too_large"),
        ("0", "budget_too_small"),
        ("0B", "budget_too_small"),
    ],
)
def test_resolve_when_out_of_bounds_then_names_the_bounds(budget, code: str):
    with pytest.raises(JobError) as caught:
        resolve(budget, total_units=1000, bytes_per_unit=1, lowest=5, highest=900)
    assert (caught.value.code, caught.value.pointer) == (code, "/params/budget")
    assert "between 5 and 900" in caught.value.hint


@pytest.mark.parametrize("budget", ["many", "-3", "5 tons", True, 2.5, float("inf"), float("nan"), "1e2", "", []])
def test_budget_when_it_is_none_then_the_model_refuses(budget):
    with pytest.raises(ValidationError):
        Params(budget=budget)


@pytest.mark.parametrize(
    ("budget", "size"), [("2%", 200), ("0.55%", 55), ("3200B", 3200), ("1.5kB", 1500), (500, None), ("500", None)]
)
def test_budget_in_bytes_takes_a_share_of_the_bytes_and_leaves_units_alone(budget: int | str, size: int | None) -> None:
    assert resolve_bytes(budget, total_bytes=10_000) == size


@pytest.mark.parametrize(("budget", "word"), [("0.1%", "small"), ("19B", "small"), ("100%", "large"), ("1GB", "large")])
def test_budget_in_bytes_that_holds_no_row_or_saves_nothing_is_refused_with_bounds_that_work(
    budget: str, word: str
) -> None:
    with pytest.raises(JobError) as refused:
        resolve_bytes(budget, total_bytes=10_000, lowest=20)
    assert refused.value.code == f"budget_too_{word}"
    for bound in re.findall(r'"(\d+B)"', refused.value.hint or ""):
        assert resolve_bytes(bound, total_bytes=10_000, lowest=20) == int(bound[:-1])
