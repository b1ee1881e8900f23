"""Budgets that a version certainly cannot have, refused before a job is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.jobs.errors import Refused
from app.jobs.estimate import budget_in_units


def need_possible_budget(
    params: Mapping[str, Any], schema: Mapping[str, Any], units: str, statistics: Mapping[str, Any]
) -> None:
    """`Refused` for a budget of none, or of all, of a version's `units` (those for training, where it says how many);
    the method may allow still less.

    One in bytes, or in a share of the bytes, is left to the method, which knows how large its units are.
    """
    training = statistics.get(f"{units}_train")
    budget, total = params.get("budget"), statistics.get(units) if training is None else training
    if share_of_bytes(budget, params, schema):
        return
    asked = budget_in_units(budget, total)
    if asked is None or not isinstance(total, int):
        return
    shown = str(budget)[:40]
    if asked <= 0.5:  # which rounds to none
        detail = f"The budget {shown} of {total} {units} is none."
        raise Refused("budget_too_small", detail, hint=_bounds(total, units), pointer="/params/budget")
    if asked >= total:
        there = f"{total} {units}{'' if training is None else ' for training'}"
        detail = f"The budget {shown} is no less than what there is: this version has {there}."
        raise Refused("budget_too_large", detail, hint=_bounds(total, units), pointer="/params/budget")


def budget_said(params: Mapping[str, Any], schema: Mapping[str, Any], statistics: Mapping[str, Any]) -> object:
    """The budget of a job, also where it was said in another form: a field that is announced with `units_each` counts
    units for each of that quantity of the version (images per class), `units_unsaid` of them where nothing is said."""
    if params.get("budget") is not None:
        return params["budget"]
    for name, field in schema.get("properties", {}).items():
        each = statistics.get(field.get("units_each", ""))
        if isinstance(each, int):
            said = params.get(name)
            count = field.get("units_unsaid") if said is None else said
            return count * each if isinstance(count, int | float) else None
    return None


def share_of_bytes(budget: object, params: Mapping[str, Any], schema: Mapping[str, Any]) -> bool:
    """Whether a budget is a share of the bytes: `share_of_bytes` of the announced field names the other parameters,
    with their values, under which it is."""
    only = schema.get("properties", {}).get("budget", {}).get("share_of_bytes")
    if only is None or not isinstance(budget, str) or not budget.rstrip().endswith("%"):
        return False
    return all(params.get(name) == value for name, value in only.items())


def _bounds(total: int, units: str) -> str:
    return f"Ask for between 1 and {total - 1} {units}, or a share such as 1%."
