"""Plots of images: what is confused with what, which classes are found, and what soft labels say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worker.evidence.measurements import Pooled, TrainedResult
from worker.evidence.plot import Plot, Series
from worker.kinds.images.summary import ImagesSummary

_MOST_CLASSES = 25


def plots(results: Sequence[TrainedResult], learner: str, label: str, summary: ImagesSummary) -> tuple[Plot, ...]:
    """Recall by class and the confusion of the summary, by one learner; soft labels by class, where there are some."""
    names = tuple(name[:20] or "(blank)" for name in summary.classes)
    found: list[Plot] = []
    if len(names) <= _MOST_CLASSES:
        tables = {name: _confusion(results, learner, name, len(names)) for name in ("full", "summary", "random")}
        known = {name: one for name, one in tables.items() if one is not None}
        if "summary" in known:
            found += [_recall(known, names, label), _confused(known["summary"], names, label)]
        if (said := summary.probabilities) is not None:
            found.append(_labels(said, summary.y, names))
    return tuple(found)


def _confusion(results: Sequence[TrainedResult], learner: str, name: str, classes: int) -> np.ndarray | None:
    """Test images (C, C) of each class by the class that was predicted, over all seeds and draws."""
    counts = np.zeros((classes, classes))
    for one in results:
        if one.learner != learner or one.set != name:
            continue
        pooled = one.scores["test"]["balanced_accuracy"]
        if isinstance(pooled, Pooled):
            np.add.at(counts, (pooled.columns["label"], pooled.columns["predicted"]), 1)
    return counts if counts.any() else None


def _recall(tables: dict[str, np.ndarray], names: tuple[str, ...], label: str) -> Plot:
    said = {"full": "full data", "summary": "this summary", "random": "random images"}
    series = tuple(
        Series(said[name], names, tuple((100 * np.diag(one) / np.maximum(one.sum(axis=1), 1)).tolist()))
        for name, one in tables.items()
    )
    summary = 100 * np.diag(tables["summary"]) / np.maximum(tables["summary"].sum(axis=1), 1)
    worst = int(summary.argmin())
    return Plot(
        "recall",
        "Which classes are found",
        f"Per cent of the test images of each class that {label} finds, trained on each set. Trained on this summary "
        f"it finds least of {names[worst]}: {summary[worst]:.0f} %.",
        "bar",
        "class",
        "% of its test images found",
        series,
        n=int(tables["summary"].sum()),
    )


def _confused(counts: np.ndarray, names: tuple[str, ...], label: str) -> Plot:
    share = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    off = share - np.diag(np.diag(share))
    true, said = np.unravel_index(int(off.argmax()), off.shape)
    return Plot(
        "confusion",
        "What is taken for what",
        f"A row a class, a column what {label}, trained on this summary, takes its test images for, in per cent. Most "
        f"often wrong: {names[true]} taken for {names[said]}, {off[true, said]:.0f} %.",
        "heatmap",
        "predicted",
        "class",
        tuple(Series(name, names, tuple(row.tolist()), stress=(name,)) for name, row in zip(names, share, strict=True)),
        n=int(counts.sum()),
    )


def _labels(soft: np.ndarray, y: np.ndarray, names: tuple[str, ...]) -> Plot:
    present = [one for one in range(len(names)) if (y == one).any()]
    mean = np.stack([100 * soft[y == one].mean(axis=0) for one in present])
    sure = float(np.mean([mean[at, one] for at, one in enumerate(present)]))
    return Plot(
        "soft-labels",
        "What the soft labels say",
        "A row the images of a class, a column the mean share that their soft labels give to each class, in per cent; "
        f"their own gets {sure:.0f} % on average.",
        "heatmap",
        "share of the label",
        "class",
        tuple(
            Series(names[one], names, tuple(row.tolist()), stress=(names[one],))
            for one, row in zip(present, mean, strict=True)
        ),
        n=len(y),
    )
