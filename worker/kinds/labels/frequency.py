"""How well labels of each frequency are found: what a mean over documents hides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from worker.evidence.measurements import Ratio, TrainedResult
from worker.evidence.plot import Plot, Series
from worker.evidence.statistics import value_of
from worker.evidence.table import Cell, Column, Table
from worker.kinds.labels.dataset import Csr, LabelledDocuments
from worker.kinds.labels.metrics import hits
from worker.kinds.labels.summary import LabelsSummary

GROUPS, AT = 10, 5


def deciles(counts: np.ndarray) -> np.ndarray:
    """The tenth of the labels that each belongs to by its training documents (L,), rarest first; -1 for a label that
    has none."""
    group = np.full(len(counts), -1, np.int64)
    order = np.argsort(counts, kind="stable")
    trained = order[counts[order] > 0]
    group[trained] = np.arange(len(trained)) * GROUPS // max(1, len(trained))
    return group


def recalls(top: np.ndarray, truth: Csr, group: np.ndarray) -> Mapping[str, Ratio]:
    """Share of the true labels of each tenth that are among the first 5, by name: a document's hits over its labels."""
    found, n = hits(top[:, :AT], truth), truth.shape[0]
    document = np.repeat(np.arange(n), np.diff(truth.indptr))
    said = np.nonzero(found)
    scores: dict[str, Ratio] = {}
    for tenth in range(GROUPS):
        inside = group[truth.indices] == tenth
        right = group[top[said]] == tenth
        scores[_name(tenth)] = Ratio(
            np.bincount(said[0][right], minlength=n).astype(np.float64),
            np.bincount(document[inside], minlength=n).astype(np.float64),
        )
    return scores


def recall_plots(
    data: LabelledDocuments, results: Sequence[TrainedResult], learners: Mapping[str, str], sets: Mapping[str, str]
) -> tuple[Plot, ...]:
    """One plot for each learner (name to label): recall by tenth of each of `sets` (name to label)."""
    plots: list[Plot] = []
    for learner, label in learners.items():
        series: list[Series] = []
        for name, shown in sets.items():
            own = [one for one in results if one.learner == learner and one.set == name and "test" in one.scores]
            if not own:
                continue
            values = [
                float(np.mean([value_of(one.scores["test"][_name(tenth)]) for one in own])) for tenth in range(GROUPS)
            ]
            known = [tenth for tenth in range(GROUPS) if np.isfinite(values[tenth])]
            series.append(
                Series(shown, tuple(float(tenth + 1) for tenth in known), tuple(100 * values[tenth] for tenth in known))
            )
        if series:
            plots.append(
                Plot(
                    f"recall_{learner}".replace("-", "_"),
                    f"Rare and frequent labels found by {label}",
                    f"Share of the true labels among the first {AT} predictions of {label}, for tenths of the labels "
                    "by their training documents, rarest first.",
                    "line",
                    "tenth of the labels by training documents, rarest first",
                    f"recall@{AT} (%)",
                    tuple(series),
                    n=int((data.known_counts > 0).sum()),
                )
            )
    return tuple(plots)


def losses_table(data: LabelledDocuments, summary: LabelsSummary) -> Table:
    """A row for each tenth of the labels: how many the summary has lost, and documents of a label before and after."""
    counts, own = data.train.counts, summary.documents.counts
    group = deciles(counts)
    rows: list[dict[str, Cell]] = [
        {
            "tenth": f"{tenth + 1}",
            "range": _range(counts[group == tenth]),
            "labels": int((group == tenth).sum()),
            "lost": int(((group == tenth) & (own == 0)).sum()),
            "before": float(counts[group == tenth].mean()),
            "after": float(own[group == tenth].mean()),
        }
        for tenth in range(GROUPS)
        if (group == tenth).any()
    ]
    columns = (
        Column("tenth", "tenth of the labels", "text"),
        Column("range", "training documents", "text"),
        Column("labels", "labels", decimals=0),
        Column("lost", "lost by the summary", decimals=0),
        Column("before", "documents a label, full data"),
        Column("after", "documents a label, this summary"),
    )
    caption = (
        "Labels by how many training documents have them, rarest first: how many of them are on no document of the "
        "summary, and how many documents one has before and after."
    )
    return Table("labels_lost", caption, columns, tuple(rows), heading="Labels kept and lost")


def _name(tenth: int) -> str:
    return f"recall{AT}_tenth{tenth + 1}"


def _range(counts: np.ndarray) -> str:
    if not len(counts):
        return ""
    low, high = int(counts.min()), int(counts.max())
    return f"{low}" if low == high else f"{low}\u2013{high}"
