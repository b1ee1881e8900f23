"""Logged decisions (context, action, reward, propensity): off-policy estimation and learning, rounds as summaries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from worker.contract.errors import JobError
from worker.contract.kind import Ingest, Judging, Kind
from worker.kinds.bandit import structures, uploaded_policies
from worker.kinds.bandit.ingest import IngestOptions, ingest
from worker.kinds.bandit.structures import Log, decisions
from worker.kinds.bandit.summary import LearntPolicy, RoundsSummary
from worker.kinds.bandit.uploaded_policies import UploadedPolicies


def _evaluate_params() -> type[BaseModel]:
    # Judging needs torch, which loading a dataset does not.
    from worker.kinds.bandit.judge import EvaluateParams

    return EvaluateParams


def _load(folder: Path) -> Log:
    if uploaded_policies.holds_policies(folder):
        raise _no_log("This version holds policies and no log.", "/dataset")
    return structures.load(folder)


def _load_input(folder: Path) -> Log | UploadedPolicies:
    return uploaded_policies.load(folder) if uploaded_policies.holds_policies(folder) else structures.load(folder)


def _describe(folder: Path) -> dict[str, Any]:
    return (uploaded_policies if uploaded_policies.holds_policies(folder) else structures).describe(folder)


def _adopt(data: Log, other: Any) -> RoundsSummary:
    if isinstance(other, UploadedPolicies):
        raise _no_log("What was given as rounds are policies.", "/inputs")
    return RoundsSummary(decisions(other))


def _no_log(detail: str, pointer: str) -> JobError:
    hint = "Name a log as the dataset, and policies as the input `targets` of an estimate."
    return JobError("invalid_input", detail, hint=hint, pointer=pointer)


KIND = Kind(
    name="bandit",
    unit="round",
    units="rounds",
    ingest=Ingest(options=IngestOptions, run=ingest),
    load=_load,
    load_input=_load_input,
    describe=_describe,
    products=(LearntPolicy, RoundsSummary),
    adopt=_adopt,
    judging=Judging(params=_evaluate_params),
)
