"""Datasets that a job certainly cannot be judged on, refused before it is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.jobs.errors import Refused
from app.jobs.estimate import counts

_JUDGED = ("distil", "select", "evaluate")


def need_what_judging_needs(
    task: str, schema: Mapping[str, Any], statistics: Mapping[str, Any], evaluate: Mapping[str, Any]
) -> None:
    """`Refused` where the announced `x-needs` of the `evaluate` schema name a quantity of which a version has none.

    A quantity that its statistics do not know is left to the worker.
    """
    known = {"evaluate": evaluate}
    for need in schema.get("x-needs", ()) if task in _JUDGED else ():
        if statistics.get(need["quantity"]) == 0 and counts(need["only"], known):
            raise Refused(need["code"], need["detail"], hint=need["hint"], pointer=need["pointer"])
