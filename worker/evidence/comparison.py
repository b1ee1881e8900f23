"""Every learner on every set, as quantities with paired resamples: what tables and verdict are read from."""

from __future__ import annotations

from worker.evidence.measurements import Measurements, Scores, TrainedResult
from worker.evidence.statistics import Resampled, average, resample, value_of

Cell = tuple[str, str, str, str]


class Comparison:
    """The measurements after one bootstrap per test set, over all learners, sets and metrics together.

    Values are on the scale in which they were measured (0..1 for most metrics), not the one shown. Where nothing was
    measured, the answer is None.
    """

    def __init__(self, measurements: Measurements) -> None:
        self.measurements = measurements
        self._cells: dict[Cell, Resampled] = {}
        for test in measurements.tests:
            self._resample(test.name, test.n)

    def _resample(self, test: str, n: int) -> None:
        m = self.measurements
        declared = {metric.name for metric in m.metrics}
        cells: dict[Cell, list[tuple[TrainedResult, Scores]]] = {}
        for learner in m.learners:
            for one in m.sets:
                for result in m.of(learner.name, one.name):
                    for metric, scores in result.scores.get(test, {}).items():
                        if metric not in declared:
                            continue
                        cells.setdefault((test, metric, learner.name, one.name), []).append((result, scores))
        columns = [scores for cell in cells.values() for _, scores in cell]
        values = [value_of(scores) for scores in columns]
        resampled = resample(columns, resamples=m.bootstrap, seed=m.seed)
        start = 0
        for key, cell in cells.items():
            part = slice(start, start + len(cell))
            start += len(cell)
            runs = [(result.draw, result.seed) for result, _ in cell]
            self._cells[key] = average(values[part], resampled[:, part], runs, name=key[3], n=n, seed=m.seed)

    def mean(self, learner: str, set_name: str, metric: str = "", test: str = "") -> Resampled | None:
        """The metric of a learner trained on a set, averaged over draws and seeds; the primary one unless said."""
        m = self.measurements
        return self._cells.get((test or m.test.name, metric or m.primary, learner, set_name))

    def share(self, learner: str, set_name: str, metric: str = "", test: str = "") -> Resampled | None:
        """What the set keeps of the full data: the metric on the set / the same on the full data, paired.

        For metrics where lower is better the ratio is turned round, so that more is always better.
        """
        full = self.measurements.full.name
        mean, base = self.mean(learner, set_name, metric, test), self.mean(learner, full, metric, test)
        return None if mean is None or base is None else self.ratio(mean, base, metric)

    def ahead(self, learner: str, set_name: str, other: str, metric: str = "", test: str = "") -> Resampled | None:
        """How far a set leads another in the metric, same learner, paired; above 0 where the first is better."""
        first, second = self.mean(learner, set_name, metric, test), self.mean(learner, other, metric, test)
        return None if first is None or second is None else self.difference(first, second, metric)

    def ahead_in_share(self, learner: str, set_name: str, other: str) -> Resampled | None:
        """How far a set leads another in shares of the full data, same learner, paired."""
        first, second = self.share(learner, set_name), self.share(learner, other)
        return None if first is None or second is None else first - second

    def lead(self, learner: str, over: str, *, trained_on: str = "", over_on: str = "") -> Resampled | None:
        """How far a learner leads another, paired; both on the full data unless said. Above 0: the first is better."""
        full = self.measurements.full.name
        first, second = self.mean(learner, trained_on or full), self.mean(over, over_on or full)
        return None if first is None or second is None else self.difference(first, second)

    def ratio(self, first: Resampled, second: Resampled, metric: str = "") -> Resampled:
        """First over second; the other way round where lower is better."""
        return first / second if self._higher(metric) else second / first

    def difference(self, first: Resampled, second: Resampled, metric: str = "") -> Resampled:
        """First minus second; the other way round where lower is better."""
        return first - second if self._higher(metric) else second - first

    def _higher(self, metric: str) -> bool:
        name = metric or self.measurements.primary
        return next((m.higher_is_better for m in self.measurements.metrics if m.name == name), True)
