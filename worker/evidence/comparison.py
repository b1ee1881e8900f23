"""Every learner on every set, as estimates with paired intervals: what tables and verdict are read from."""

from __future__ import annotations

import numpy as np

from worker.evidence.measurements import Measurements
from worker.evidence.statistics import Bootstrap, Estimate

Key = tuple[str, str, str]


class Comparison:
    """The measurements after one bootstrap over all learners, sets and metrics together.

    Values are on the scale in which they were measured (0..1 for most metrics), not the one shown.
    """

    def __init__(self, measurements: Measurements) -> None:
        self.measurements = measurements
        self._bootstrap = Bootstrap(resamples=measurements.bootstrap, seed=measurements.seed)
        columns: dict[Key, list[np.ndarray]] = {}
        for result in sorted(measurements.results, key=lambda r: r.seed):
            for metric, values in result.per_unit.items():
                columns.setdefault((metric, result.learner, result.set), []).append(values)
        for key, values in columns.items():
            self._bootstrap.add(key, values)
        self._bootstrap.run()

    def has(self, learner: str, set_name: str, metric: str = "") -> bool:
        """Whether the learner was measured on the set (with per-unit values)."""
        return self._key(learner, set_name, metric) in self._bootstrap

    def mean(self, learner: str, set_name: str, metric: str = "") -> Estimate | None:
        """The metric of a learner trained on a set, averaged over seeds and test units."""
        key = self._key(learner, set_name, metric)
        return self._bootstrap.mean(key) if key in self._bootstrap else None

    def fidelity(self, learner: str, set_name: str, metric: str = "") -> Estimate | None:
        """What the set keeps of the full data: metric on the set / metric on full, paired.

        For metrics where lower is better the ratio is turned round, so that more is always better.
        """
        key, base = self._key(learner, set_name, metric), self._key(learner, self._full, metric)
        if key not in self._bootstrap or base not in self._bootstrap:
            return None
        return self._bootstrap.ratio(key, base) if self._higher(metric) else self._bootstrap.ratio(base, key)

    def advantage(self, learner: str, set_name: str, metric: str = "") -> Estimate | None:
        """The summary's metric minus another set's, same learner, paired; above 0 where the summary is better."""
        key = self._key(learner, self.measurements.summary.name, metric)
        other = self._key(learner, set_name, metric)
        if key not in self._bootstrap or other not in self._bootstrap:
            return None
        first, second = (key, other) if self._higher(metric) else (other, key)
        return self._bootstrap.difference(first, second)

    def fidelity_difference(self, learner: str, set_name: str) -> Estimate:
        """The summary's fidelity minus another set's, paired; both must have been measured."""
        summary, full = self._key(learner, self.measurements.summary.name, ""), self._key(learner, self._full, "")
        return self._bootstrap.gap(summary, self._key(learner, set_name, ""), full, inverse=not self._higher(""))

    def lead(self, learner: str, over: str, *, trained_on: str = "", over_on: str = "") -> Estimate | None:
        """How far a learner leads another, paired; both on the full data unless said. Above 0: the first is better."""
        first = self._key(learner, trained_on or self._full, "")
        second = self._key(over, over_on or self._full, "")
        if first not in self._bootstrap or second not in self._bootstrap:
            return None
        if not self._higher(""):
            first, second = second, first
        return self._bootstrap.difference(first, second)

    @property
    def _full(self) -> str:
        return self.measurements.full.name

    def _key(self, learner: str, set_name: str, metric: str) -> Key:
        return (metric or self.measurements.primary, learner, set_name)

    def _higher(self, metric: str) -> bool:
        name = metric or self.measurements.primary
        return next((m.higher_is_better for m in self.measurements.metrics if m.name == name), True)
