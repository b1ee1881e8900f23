"""What the condensed graph saves: bytes, edges, and seconds of training, beside the whole graph."""

from __future__ import annotations

import numpy as np

from worker.evidence.measurements import Measurements
from worker.evidence.table import Cell, Column, Table


def table(m: Measurements) -> Table:
    """Seconds of one training of each learner on the whole graph and on the summary, with sizes."""
    sets = {m.full.name: m.full, m.summary.name: m.summary}
    rows: list[dict[str, Cell]] = []
    for learner in m.learners:
        for name, one in sets.items():
            times = [second for result in m.of(learner.name, name) for second in result.fit_s]
            peaks = [result.peak_mb for result in m.of(learner.name, name) if result.peak_mb is not None]
            if times:
                rows.append(
                    {
                        "learner": learner.label,
                        "set": one.label,
                        "nodes": one.rows,
                        "edges": one.events,
                        "bytes": one.bytes,
                        "seconds": float(np.median(times)),
                        "peak": max(peaks, default=None),
                    }
                )
    return Table(
        "efficiency",
        "One training on the whole graph and on the condensed one",
        (
            Column("learner", "Learner", "text"),
            Column("set", "Trained on", "text"),
            Column("nodes", "Nodes", decimals=0),
            Column("edges", "Edges", decimals=0),
            Column("bytes", "Bytes", unit="B", decimals=0),
            Column("seconds", "One training", unit="s", decimals=2),
            Column("peak", "Peak memory", unit="MB", decimals=0),
        ),
        tuple(rows),
        note="Both are validated on the original graph at every third epoch, which is part of a training. A share of "
        "the nodes says little of what is saved: compare bytes and seconds.",
        heading="Efficiency",
        group="learner",
    )
