"""Logged decisions (context, action, reward, propensity): off-policy estimation and learning, rounds as summaries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from worker.contract.context import Context
from worker.contract.kind import Ingest, Judging, Kind, Sources
from worker.ingest.limits import Limits
from worker.kinds.bandit import canonical
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.ingest import IngestOptions, ingest
from worker.kinds.bandit.summary import LearntPolicy, RoundsSummary


def _ingest(
    sources: Sources, options: Mapping[str, Any], out: Path, ctx: Context, limits: Mapping[str, int]
) -> dict[str, Any]:
    return ingest(list(sources), dict(options), out, ctx, Limits(**limits))


def _evaluate_params() -> type[BaseModel]:
    # Judging needs torch, which loading a dataset does not.
    from worker.kinds.bandit.judge import EvaluateParams

    return EvaluateParams


def _adopt(data: BanditLog, other: BanditLog) -> RoundsSummary:
    return RoundsSummary(other)


KIND = Kind(
    name="bandit",
    unit="round",
    units="rounds",
    ingest=Ingest(options=IngestOptions, run=_ingest),
    load=canonical.load,
    describe=canonical.describe,
    products=(LearntPolicy, RoundsSummary),
    adopt=_adopt,
    judging=Judging(params=_evaluate_params),
)
