"""What a user is told of documents with labels: counts, how labels are spread, the first documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from worker.contract.text import storable
from worker.kinds.labels.dataset import PARTS, LabelledDocuments, load

TAIL = 5
"""A label of fewer training documents is one of the tail."""
_PREVIEW, _SHOWN_LABELS, _SHOWN_CHARACTERS = 20, 10, 300


def describe(folder: Path) -> dict[str, Any]:
    """{statistics, preview, warnings} of canonical files."""
    data = load(folder)
    return {"statistics": statistics(data), "preview": preview(data), "warnings": []}


def statistics(data: LabelledDocuments) -> dict[str, Any]:
    """Numbers of a version. `entries`: features that are not 0, or words, of all documents."""
    counts = data.train.counts
    trained = counts[counts > 0]
    sizes = np.diff(data.targets.indptr)
    validation = np.bincount(data.targets[data.split == PARTS.index("validation")].indices, minlength=data.labels)
    return {
        "documents": len(data),
        **{f"documents_{name}": int((data.split == code).sum()) for code, name in enumerate(PARTS)},
        "labels": data.labels,
        "labels_trained": len(trained),
        "labels_without_training": int(data.labels - len(trained)),
        "tail_share": float((trained < TAIL).mean()) if len(trained) else 0.0,
        "labels_not_validated": int(((validation > 0) & (counts < 2)).sum()),
        "pairs": int(data.targets.nnz),
        "labels_per_document": _spread(sizes),
        "documents_per_label": _spread(trained),
        "features": 0 if data.features is None else int(data.features.shape[1]),
        "entries": entries(data),
        "text": data.titles is not None or data.bodies is not None,
        "label_text": data.label_titles is not None or data.label_bodies is not None,
        "label_features": data.label_features is not None,
        "barred_pairs": len(data.pairs),
        "propensity_a": data.about.a,
        "propensity_b": data.about.b,
    }


def entries(data: LabelledDocuments) -> int:
    """Features that are not 0, or words between blanks, of all documents."""
    if data.features is not None:
        return int(data.features.nnz)
    texts = (texts for texts in (data.titles, data.bodies) if texts is not None)
    return sum(len(text.split()) for column in texts for text in column)


def preview(data: LabelledDocuments) -> list[dict[str, Any]]:
    """The first documents."""
    return [_shown(data, row) for row in range(min(_PREVIEW, len(data)))]


def label_name(data: LabelledDocuments, label: int) -> str:
    """What a label is called: its title, or its number."""
    title = data.label_titles[label] if data.label_titles is not None else ""
    return storable(title)[:80] or str(label)


def _shown(data: LabelledDocuments, row: int) -> dict[str, Any]:
    own = data.targets.indices[data.targets.indptr[row] : data.targets.indptr[row + 1]]
    shown: dict[str, Any] = {"id": storable(data.ids[row]), "split": PARTS[data.split[row]]}
    for name, texts in (("title", data.titles), ("body", data.bodies)):
        if texts is not None:
            shown[name] = storable(texts[row])[:_SHOWN_CHARACTERS]
    if data.features is not None:
        shown["features"] = int(data.features.indptr[row + 1] - data.features.indptr[row])
    return shown | {
        "labels": [label_name(data, int(label)) for label in own[:_SHOWN_LABELS]],
        "labels_in_all": len(own),
    }


def _spread(counts: np.ndarray) -> dict[str, float]:
    if not len(counts):
        return {"mean": 0.0, "median": 0.0, "max": 0}
    ends = np.quantile(counts, [0.1, 0.5, 0.9]).tolist()
    named = dict(zip(("q10", "median", "q90"), ends, strict=True))
    return {"mean": float(counts.mean()), **named, "min": int(counts.min()), "max": int(counts.max())}
