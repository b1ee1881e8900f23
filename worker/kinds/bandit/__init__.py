"""Logged decisions (context, action, reward, propensity): off-policy estimation and learning, rounds as summaries."""

from __future__ import annotations

from pydantic import BaseModel

from worker.contract.kind import Ingest, Judging, Kind
from worker.kinds.bandit import structures
from worker.kinds.bandit.ingest import IngestOptions, ingest
from worker.kinds.bandit.structures import Log, decisions
from worker.kinds.bandit.summary import LearntPolicy, RoundsSummary


def _evaluate_params() -> type[BaseModel]:
    # Judging needs torch, which loading a dataset does not.
    from worker.kinds.bandit.judge import EvaluateParams

    return EvaluateParams


def _adopt(data: Log, other: Log) -> RoundsSummary:
    return RoundsSummary(decisions(other))


KIND = Kind(
    name="bandit",
    unit="round",
    units="rounds",
    ingest=Ingest(options=IngestOptions, run=ingest),
    load=structures.load,
    describe=structures.describe,
    products=(LearntPolicy, RoundsSummary),
    adopt=_adopt,
    judging=Judging(params=_evaluate_params),
)
