"""Data that nothing is done with: its files are kept as they came, and its report is empty."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from worker.evidence.measurements import Measurements, Metric, TrainingSet


class Nothing(BaseModel):
    """No options."""

    model_config = ConfigDict(extra="forbid")

    columns: dict[str, str] = {}


class LabelsKind:
    """See `worker.runtime.registry.Kind`; summaries are never made of it."""

    name = "labels"
    ingest_version = 1

    def ingest_params(self) -> type[BaseModel]:
        return Nothing

    def evaluate_params(self) -> type[BaseModel]:
        return Nothing

    def ingest(
        self, sources: list[tuple[str, Path]], options: dict[str, Any], out: Path, ctx: Any, limits: dict[str, int]
    ) -> dict[str, Any]:
        for name, path in sources:
            shutil.copyfile(path, out / name)
        return {"statistics": {}, "preview": {}, "schema": {}, "warnings": [], "detection": {}}

    def load(self, folder: Path) -> None:
        return None

    def judge(self, data: None, summary: None, params: Any, ctx: Any) -> Measurements:
        if "warm" not in sys.argv:  # a child that was started for this job, not forked from what has everything
            assert "torch" not in sys.modules, "the child of a method without torch has imported it"
            assert "worker.kinds.interactions" not in sys.modules, "it has imported another kind"
        sets = [TrainingSet(role, role, role, rows=1, events=1.0, bytes=1) for role in ("full", "summary")]
        return Measurements(
            kind="labels", unit="row", units="rows", test_units="rows", event="label", sets=tuple(sets),
            learners=(), metrics=(Metric("none", "None"),), primary="none", results=(),
        )  # fmt: skip


KIND = LabelsKind()
