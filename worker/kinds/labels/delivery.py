"""From what a method picked to its summary: how large it may be, what it loses, where it comes from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from worker.contract.budget import Budget, resolve, resolve_bytes
from worker.contract.product import Origin
from worker.kinds.labels.dataset import TRAIN, LabelledDocuments, LabelSet
from worker.kinds.labels.delivered_text import lines, sizes
from worker.kinds.labels.summary import LabelsSummary, of_rows

_SAMPLE = 1_000


class DocumentsParams(BaseModel):
    """What every method of this kind takes."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget = "10%"


def size_of(data: LabelledDocuments, params: DocumentsParams) -> int:
    """Documents that the budget comes to. Raises `JobError` for a budget that cannot be."""
    return resolve(params.budget, total_units=len(data.train), bytes_per_unit=document_bytes(data))


def document_bytes(data: LabelledDocuments) -> float:
    """Bytes of a document as it is delivered, on average."""
    step = max(1, len(data.train) // _SAMPLE)
    sample = data.train.take(np.arange(0, len(data.train), step))
    return sizes(sample)[0] / max(1, len(sample))


def picked(
    data: LabelledDocuments, rows: np.ndarray, method: str, params: DocumentsParams, **more: Any
) -> LabelsSummary:
    """The summary of these training documents (s,), best ones first, numbered within the training part; it has them in
    their order there."""
    rows = fitting(data.train, rows, params.budget)
    settings = params.model_dump() | {"documents": len(rows)} | more
    summary = of_rows(data, data.rows(TRAIN)[np.sort(rows)], Origin(method, settings=settings))
    return with_losses(data, summary)


def fitting(training: LabelSet, rows: np.ndarray, budget: int | str) -> np.ndarray:
    """Of documents (s,), best ones first, as many of the first as fit into a budget of bytes; one at least."""
    if not (isinstance(budget, str) and budget.rstrip().endswith("B")):
        return rows
    room = resolve_bytes(budget, total_bytes=10**15) or 0
    each = np.fromiter(map(len, lines(training.take(rows))), np.int64, len(rows))
    return rows[: max(1, int(np.searchsorted(np.cumsum(each), room, side="right")))]


def labels_lost(data: LabelledDocuments, summary: LabelsSummary) -> int:
    """Labels that training documents have and no document of the summary has."""
    return int(((data.train.counts > 0) & (summary.documents.counts == 0)).sum())


def with_losses(data: LabelledDocuments, summary: LabelsSummary) -> LabelsSummary:
    """The summary, with a warning where it has lost labels."""
    lost, trained = labels_lost(data, summary), int((data.train.counts > 0).sum())
    if not lost:
        return summary
    text = (
        f"{lost:,} of the {trained:,} labels that training documents have ({100 * lost / trained:.3g} %) are on no "
        "document of the summary: models trained on it never learn them from documents."
    )
    return replace(summary, warnings=(*summary.warnings, text))
