"""Measurements of several jobs as one, to compare their summaries without training anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from worker.evidence.measurements import Measurements, TestSet, TrainedResult, TrainingSet


def merge(parts: Mapping[str, Measurements]) -> Measurements:
    """One record of all summaries and baselines beside the full data. `parts`: measurements by a name for readers.

    Sets other than the full data are renamed to `<part>:<set>`. Figures of the full data are taken from the first part
    that has them. Raises ValueError for different protocols, kinds, test units or full data: such figures never share a
    table.
    """
    first = next(iter(parts.values()))
    for name, part in parts.items():
        _check(name, part, first)
    sets: dict[str, TrainingSet] = {first.full.name: first.full}
    results: dict[tuple[str, str, int, int], TrainedResult] = {}
    for name, part in parts.items():
        named = {one.name: one.name if one.role == "full" else f"{name}:{one.name}" for one in part.sets}
        for one in part.sets:
            if one.role != "full":
                of = named.get(one.of, one.of)
                sets[named[one.name]] = replace(one, name=named[one.name], label=f"{one.label} ({name})", of=of)
        for result in part.results:
            renamed = replace(result, set=named[result.set])
            results.setdefault((renamed.learner, renamed.set, renamed.draw, renamed.seed), renamed)
    everything = list(parts.items())
    return replace(
        first,
        sets=tuple(sets.values()),
        learners=tuple({one.name: one for _, part in everything for one in part.learners}.values()),
        results=tuple(results.values()),
        origins={f"{name}:{own}": origin for name, part in everything for own, origin in part.origins.items()},
        plots=(),
        pictures=(),
        tables=(),
        privacy=(),
        warnings=tuple(f"{name}: {text}" for name, part in everything for text in part.warnings),
        unfinished="; ".join(f"{name}: {part.unfinished}" for name, part in everything if part.unfinished),
        arrays={f"{name}:{own}": array for name, part in everything for own, array in part.arrays.items()},
    )


def _check(name: str, part: Measurements, first: Measurements) -> None:
    if part.protocol.hash != first.protocol.hash:
        raise ValueError(f"{name} was measured under another protocol: {part.protocol.hash}, not {first.protocol.hash}")
    if part.kind != first.kind or not _same_tests(part.tests, first.tests):
        raise ValueError(f"{name} was measured on another kind or on other test units")
    if (part.full.name, part.full.rows, part.full.bytes) != (first.full.name, first.full.rows, first.full.bytes):
        raise ValueError(f"{name} was measured beside other full data")


def _same_tests(tests: tuple[TestSet, ...], others: tuple[TestSet, ...]) -> bool:
    def same_ids(a: TestSet, b: TestSet) -> bool:
        return a.ids is None or b.ids is None or np.array_equal(a.ids, b.ids)

    pairs = zip(tests, others, strict=False)
    return len(tests) == len(others) and all((a.name, a.n) == (b.name, b.n) and same_ids(a, b) for a, b in pairs)
