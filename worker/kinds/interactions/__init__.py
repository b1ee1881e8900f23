"""Who used what: users x items, for recommenders. This file only gathers what the runtime asks of a kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from worker.ingest.limits import Limits
from worker.kinds.interactions import bundle, dataset, fidelity, ingest, subset
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.summary import InteractionsSummary


class InteractionsKind:
    """See `worker.runtime.registry.Kind`."""

    name = "interactions"
    ingest_version = 1

    def ingest_params(self) -> type[BaseModel]:
        """The schema of a dataset's options."""
        return ingest.IngestOptions

    def ingest(
        self, sources: list[tuple[str, Path]], options: dict[str, Any], out: Path, ctx: Any, limits: dict[str, int]
    ) -> dict[str, Any]:
        """Turn uploaded files into canonical files."""
        return ingest.ingest(sources, options, out, ctx, Limits(**limits))

    def load(self, folder: Path) -> Interactions:
        """The dataset in memory."""
        return dataset.load(folder)

    def describe(self, folder: Path) -> dict[str, Any]:
        """Statistics and preview of canonical files."""
        return {"statistics": dataset.statistics(folder), "preview": dataset.preview(folder), "warnings": []}

    def evaluate_params(self) -> type[BaseModel]:
        """The schema of a job's `evaluate` field."""
        return fidelity.EvaluateParams

    def write_bundle(self, data: Interactions, summary: InteractionsSummary, folder: Path) -> None:
        """Write the delivered files of a summary."""
        bundle.write(summary, folder, data)

    def read_bundle(self, folder: Path) -> InteractionsSummary:
        """The summary back from its delivered files."""
        return bundle.read(folder)

    def read_subset(self, data: Interactions, folder: Path) -> InteractionsSummary:
        """Another version's events as a summary on the items of `data`."""
        return subset.as_summary(data, dataset.load(folder))

    def judge(self, data: Interactions, summary: InteractionsSummary, params: Any, ctx: Any) -> Any:
        """Measure a summary against the full data and the cheap baselines."""
        return fidelity.judge(data, summary, params, ctx)


KIND = InteractionsKind()
