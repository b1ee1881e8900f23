"""What a report shows of the data itself: before and after, item popularity, row sizes, the curve of a distillation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from worker.evidence.plot import Plot, Series
from worker.evidence.set_plots import line_of, popularity
from worker.evidence.table import Cell, Column, Table
from worker.evidence.training import Contender
from worker.evidence.wording import number
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.distinct import distinct
from worker.kinds.interactions.leaks import held_out_events
from worker.kinds.interactions.rows import UserRows
from worker.kinds.interactions.splits import TEST
from worker.kinds.interactions.summary import InteractionsSummary

Rows = sparse.csr_array
SHORT_ROW = 5.0


def plots(data: Interactions, sets: Sequence[Contender], summary: InteractionsSummary) -> tuple[Plot, ...]:
    """Popularity before and after, row sizes, and the training curve of a distilled summary."""
    pair = [one for one in sets if one.record.role in ("full", "summary")]
    cheap = [one for one in sets if one.record.role == "baseline" and one.record.equal != "bytes"]
    return (popularity([*pair, *cheap], _per_item), row_sizes(pair), *training_curves(summary))


def row_sizes(sets: Sequence[Contender]) -> Plot:
    """Histogram of events per row."""
    sums = [_per_row(one.draws[0]) for one in sets]
    largest = max((float(values.max(initial=1.0)) for values in sums), default=1.0)
    edges = np.unique(np.concatenate(([0.5], np.floor(np.geomspace(1, max(largest, 1.0), 25)) + 0.5)))
    series = []
    for one, values in zip(sets, sums, strict=True):
        counts = np.histogram(values.clip(edges[0], edges[-1]), edges)[0]
        series.append(line_of(one, edges, 100 * counts / max(1, len(values))))
    typical = ", ".join(f"{one.record.label} {np.median(v):.0f}" for one, v in zip(sets, sums, strict=True) if len(v))
    return Plot(
        "row-sizes",
        "Events per row",
        f"Per cent of rows by how many events they have. Median: {typical}.",
        "histogram",
        "events in the row (log scale)",
        "% of rows",
        tuple(series),
        log_x=True,
    )


def training_curves(summary: InteractionsSummary) -> list[Plot]:
    """Loss and validation score by step, where the method kept them."""
    curve, best = summary.origin.curve, summary.origin.best_step
    made = []
    for key, title, label in (("loss", "Training loss", "loss"), ("score", "Validation score", "score")):
        points = [(float(p["step"]), float(p[key])) for p in curve if "step" in p and p.get(key) is not None]
        if len(points) > 1:
            x, y = zip(*points, strict=True)
            made.append(
                Plot(
                    f"training-{key}",
                    f"{title} of the distillation, by step",
                    f"{title} from {y[0]:.4g} to {y[-1]:.4g}; the dashed line marks the delivered step.",
                    "line",
                    "step",
                    label,
                    (Series(label, x, y, stress=(label,)),),
                    mark_x=None if best is None else float(best),
                    mark_label="delivered step",
                )
            )
    return made


def data_card(data: Interactions, sets: Sequence[Contender]) -> Table:
    """The full data and the summary side by side, in numbers that need no learner."""
    full, summary = (next(one.draws[0] for one in sets if one.record.role == role) for role in ("full", "summary"))
    before, after = _card(full), _card(summary)
    rows: list[dict[str, Cell]] = [
        {"measure": name, "unit": unit, "full": before[name][0], "summary": after[name][0]}
        for name, (_, unit) in before.items()
    ]
    return Table(
        "data_card",
        f"The data before and after, over {number(data.n_items)} items",
        (
            Column("measure", "Measure", "text"),
            Column("full", "Full training data"),
            Column("summary", "Summary"),
            Column("unit", "Unit", "text"),
        ),
        tuple(rows),
        heading="Before and after",
    )


def _card(rows: UserRows) -> dict[str, tuple[float | int, str]]:
    per_row, per_item = _per_row(rows), np.sort(_per_item(rows))[::-1]
    total = max(float(per_item.sum()), 1e-12)
    head = max(1, round(len(per_item) / 100))
    used = np.count_nonzero(np.diff(rows.matrix.indptr))
    return {
        "Rows": (int(used), "users"),
        "Events (sum of weights)": (float(per_item.sum()), "events"),
        "Stored entries": (int(rows.matrix.nnz), "entries"),
        "Items with any event": (100 * np.count_nonzero(per_item) / max(1, len(per_item)), "% of items"),
        "Mean row": (float(per_row.mean()) if len(per_row) else 0.0, "events"),
        "Median row": (float(np.median(per_row)) if len(per_row) else 0.0, "events"),
        "Longest row": (float(per_row.max(initial=0.0)), "events"),
        "Most popular 1 % of items": (100 * float(per_item[:head].sum()) / total, "% of events"),
    }


def warnings(data: Interactions, summary: InteractionsSummary) -> list[str]:
    """What the data itself gives reason to say."""
    said = []
    rows = data.training_rows()
    mean = rows.nnz / max(1, rows.shape[0])
    if mean < SHORT_ROW and not summary.real_rows:
        said.append(
            f"Users have {mean:.1f} training events on average. For rows this short learned rows save rows, not "
            "bytes: consider head-users."
        )
    different = distinct_rows(rows)
    if different < 0.5 * rows.shape[0]:
        share = 100 * (1 - different / rows.shape[0])
        said.append(f"{share:.0f} % of the training rows repeat another user's row exactly.")
    test = data.queries("test")
    overlap = int(test.inputs.multiply(test.targets).nnz)
    if overlap:
        said.append(f"{overlap} test events are training events of the same user too: no learner can be right there.")
    leaked = test_events(data, summary)
    if leaked:
        said.append(
            f"The summary holds {leaked} of the very events that it is tested on: it has seen the answers, and what "
            "it keeps is overstated."
        )
    return said


def distinct_rows(rows: Rows) -> int:
    """How many different rows there are among 0/1 rows (n, I)."""
    return len(distinct(rows)[0])


def test_events(data: Interactions, summary: InteractionsSummary) -> int:
    """How many events of a summary of real rows are test events of the same user."""
    if summary.row_ids is None:
        return 0
    users = np.repeat(np.asarray(summary.row_ids, dtype=str), np.diff(summary.hard.indptr))
    return int(held_out_events(data, users, summary.hard.indices, (TEST,)).sum())


def _per_item(rows: UserRows) -> np.ndarray:
    return rows.counts


def _per_row(rows: UserRows) -> np.ndarray:
    return np.asarray(rows.matrix.sum(axis=1), dtype=np.float64).ravel()
