"""Budgets that a version certainly cannot have, refused before a job is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.jobs.errors import Refused
from app.jobs.estimate import budget_in_units


def need_possible_budget(budget: object, units: str, statistics: Mapping[str, Any]) -> None:
    """`Refused` for a budget of none, or of all, of a version's `units`; the method may allow still less.

    One in bytes is left to the method, which knows how large its units are.
    """
    total = statistics.get(units)
    asked = budget_in_units(budget, total)
    if asked is None or not isinstance(total, int):
        return
    shown = str(budget)[:40]
    if asked <= 0.5:  # which rounds to none
        detail = f"The budget {shown} of {total} {units} is none."
        raise Refused("budget_too_small", detail, hint=_bounds(total, units), pointer="/params/budget")
    if asked >= total:
        detail = f"The budget {shown} is no less than what there is: this version has {total} {units}."
        raise Refused("budget_too_large", detail, hint=_bounds(total, units), pointer="/params/budget")


def _bounds(total: int, units: str) -> str:
    return f"Ask for between 1 and {total - 1} {units}, or a share such as 1%."
