"""How well a condensed graph trains each architecture, beside the whole graph and the cheap reductions."""

from __future__ import annotations

from worker.evidence.comparison import Comparison
from worker.evidence.measurements import Measurements
from worker.evidence.plot import Plot, Series


def heat_map(m: Measurements) -> Plot:
    """Accuracy of every architecture (columns) by what it was trained on (rows)."""
    c = Comparison(m)
    learners = [one for one in m.learners if not one.floor]
    series = []
    for one in m.sets:
        means = [c.mean(learner.name, one.name) for learner in learners]
        if all(mean is not None for mean in means):
            values = tuple(100 * mean.value for mean in means if mean is not None)
            series.append(Series(one.label, tuple(learner.label for learner in learners), values))
    return Plot(
        "transfer",
        "Transfer between architectures",
        "Accuracy of each architecture by the training set, on the test nodes of the original graph.",
        "heatmap",
        "architecture",
        "accuracy (points)",
        tuple(series),
        n=m.test.n,
    )
