"""Limits of a job: what may be asked for, and what it means that one of them ended its work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.jobs.errors import Refused
from app.store.quotas import Quota

LONGEST_S = {"time_s": 3600.0, "evaluate_s": 3600.0}
"""Seconds for making and for judging when a job names none."""


def seconds(limits: Mapping[str, Any], name: str) -> float:
    """One of the two limits in time of a job."""
    return float(limits.get(name, LONGEST_S[name]))


def need_allowed(limits: Mapping[str, Any], quota: Quota) -> None:
    """Refuse limits above those that a tenant's jobs may have."""
    most = {"time_s": quota.job_s, "evaluate_s": quota.job_s, "memory_mb": quota.job_memory_mb}
    for name, largest in most.items():
        if largest and limits.get(name, 0) > largest:
            raise Refused(
                "limit_too_large",
                f"limits.{name} may be {largest} at most here, and is {limits[name]}.",
                hint=f"Ask for {largest} or less, or leave it out.",
                pointer=f"/limits/{name}",
            )


def answers(cut: Mapping[str, float], limits: Mapping[str, Any]) -> bool:
    """Whether work that these limits `cut` is as good as what a request with such `limits` would get."""
    return all(seconds(limits, name) <= given for name, given in cut.items())


def covers(own: Mapping[str, Any], limits: Mapping[str, Any]) -> bool:
    """Whether a job with its `own` limits, still at work, gets no less time than `limits` allow, and equal room."""
    in_time = all(seconds(own, name) >= seconds(limits, name) for name in LONGEST_S)
    return in_time and _room(own) == _room(limits)


def _room(limits: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in limits.items() if name not in LONGEST_S}
