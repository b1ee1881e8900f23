"""Logged decisions: context, action, reward, propensity. This file only gathers what the runtime asks of a kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from worker.evidence.findings import Findings
from worker.ingest.limits import Limits
from worker.kinds.bandit import bundle, canonical, ingest, judge
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.evaluate_params import EvaluateParams
from worker.kinds.bandit.learning.policy_artefact import LearntPolicy
from worker.kinds.bandit.rounds.summary import RoundsSummary


class BanditKind:
    """See `worker.runtime.registry.Kind`."""

    name = "bandit"
    ingest_version = 1

    def ingest_params(self) -> type[BaseModel]:
        """The schema of a dataset's options."""
        return ingest.IngestOptions

    def ingest(
        self, sources: list[tuple[str, Path]], options: dict[str, Any], out: Path, ctx: Any, limits: dict[str, int]
    ) -> dict[str, Any]:
        """Turn uploaded files into canonical files."""
        return ingest.ingest(sources, options, out, ctx, Limits(**limits))

    def load(self, folder: Path) -> BanditLog:
        """The log in memory; wide arrays are mapped."""
        return canonical.load(folder)

    def describe(self, folder: Path) -> dict[str, Any]:
        """Statistics and preview of canonical files."""
        return canonical.describe(folder)

    def evaluate_params(self) -> type[BaseModel]:
        """The schema of a job's `evaluate` field."""
        return EvaluateParams

    def write_bundle(self, data: BanditLog, summary: LearntPolicy | RoundsSummary, folder: Path) -> None:
        """Write the delivered files of a learnt policy or of chosen rounds."""
        bundle.write(summary, folder)

    def read_bundle(self, folder: Path) -> LearntPolicy | RoundsSummary:
        """What was delivered, back from its files."""
        return bundle.read(folder)

    def read_subset(self, data: BanditLog, folder: Path) -> RoundsSummary:
        """Another version's rounds as a summary of `data`."""
        return RoundsSummary(canonical.load(folder))

    def judge(self, data: BanditLog, summary: LearntPolicy | RoundsSummary, params: Any, ctx: Any) -> Findings:
        """Measure a learnt policy, or chosen rounds, on held-out rounds."""
        return judge.judge(data, summary, params, ctx)


KIND = BanditKind()
