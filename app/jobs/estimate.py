"""What a job will take, from the terms that its method and its kind announced.

A term is {value, powers: {quantity: exponent}, only: {field: value}}: `value` times the quantities raised to powers,
counted only where the fields have these values. Quantities are numbers of the version's statistics (`users`), of the
job (`params.steps`, `evaluate.draws`), and `budget`, in units.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

_MOST = 1e15  # more than anything there is; far more digits would not even be a number
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*")


def estimate(
    cost: Mapping[str, Any],
    statistics: Mapping[str, Any],
    params: Mapping[str, Any],
    evaluate: Mapping[str, Any],
    *,
    of_bytes: bool = False,
) -> dict[str, Any]:
    """{seconds, memory_mb, judging: {seconds, memory_mb}} of a run with these parameters, defaults filled in.

    `of_bytes`: a budget that is a share is one of the bytes. A figure that was not announced, or depends on what is not
    known yet (how many units fit in so many bytes), is None. Memory of a run for which no terms
    were announced is what its method declares to need.
    """
    known = {**statistics, "params": params, "evaluate": evaluate}
    known["budget"] = budget_in_units(params.get("budget"), statistics.get(cost.get("units", "")), of_bytes=of_bytes)
    run: Mapping[str, Any] = cost.get("estimate", {})
    judging: Mapping[str, Any] = cost.get("judging", {})
    memory = run.get("memory_mb")
    return {
        "seconds": total(run.get("seconds", ()), known),
        "memory_mb": total(memory, known) if memory else cost.get("memory_mb"),
        "judging": {name: total(judging.get(name, ()), known) for name in ("seconds", "memory_mb")},
    }


def total(terms: Sequence[Mapping[str, Any]], known: Mapping[str, Any]) -> float | None:
    """The sum of the terms that count, to three digits; None without terms, or when a quantity is not known."""
    if not terms:
        return None
    try:
        value = math.fsum(_value(term, known) for term in terms if counts(term.get("only", {}), known))
    except (_Unknown, OverflowError):
        return None
    return float(f"{value:.3g}") if math.isfinite(value) else None


def budget_in_units(budget: object, units: object, *, of_bytes: bool = False) -> float | None:
    """A budget (500, "500", "1%") in units, of `units` in all; None where bytes are asked for, or a share `of_bytes`,
    or nothing is."""
    if isinstance(budget, int | float) and not isinstance(budget, bool):
        return budget
    size = _SIZE.fullmatch(budget) if isinstance(budget, str) else None
    if size is None:
        return None
    number, percent = min(float(size[1]), _MOST), size[2]
    if not percent:
        return number
    return units * number / 100 if isinstance(units, int | float) and not of_bytes else None


class _Unknown(Exception):
    """A quantity is not known yet."""


def _value(term: Mapping[str, Any], known: Mapping[str, Any]) -> float:
    value = float(term["value"])
    for name, exponent in term.get("powers", {}).items():
        quantity = _look_up(known, name)
        if isinstance(quantity, bool) or not isinstance(quantity, int | float):
            raise _Unknown(name)
        if quantity <= 0:
            return 0.0
        value *= float(quantity) ** exponent
    return value


def counts(only: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether each of these fields has its value, or holds it in a list."""
    return all(_has(_look_up(known, name), wanted) for name, wanted in only.items())


def _has(found: object, wanted: object) -> bool:
    return wanted in found if isinstance(found, list) else found == wanted


def _look_up(known: Mapping[str, Any], name: str) -> Any:
    """A field by its dotted name; None where there is none."""
    found: Any = known
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
