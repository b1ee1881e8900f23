"""Calibration of single answers at both stages: of every benchmark, of every run, and of all together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from worker.contract.context import Context
from worker.kinds.scores.calibration import Bins, equal_width
from worker.kinds.scores.dataset import Examples, coded
from worker.kinds.scores.example_bootstrap import Calibration, calibrate
from worker.kinds.scores.panel import Panel


@dataclass(frozen=True)
class Calibrated:
    """A group of answers: at a stage and scale all of them, those to one benchmark, or those of one run.

    `bins`: of the group, equal width: (confidence, accuracy, count) where any fell, (B, 3).
    """

    scale: str
    stage: str
    over: str
    name: str
    calibration: Calibration
    bins: np.ndarray


def calibrated(
    examples: Examples | None, stages: tuple[str, str], panels: Sequence[Panel], ctx: Context, *, bins: int,
    resamples: int,
) -> list[Calibrated]:  # fmt: skip
    """Calibration of the answers with a confidence that runs of the panels gave to their benchmarks."""
    if examples is None:
        return []
    wanted = list(_groups(examples, stages, panels))
    out: list[Calibrated] = []
    for at, (scale, stage, over, name, rows) in enumerate(wanted):
        with ctx.part(f"{scale} {stage} {over} {name}", at, len(wanted), label="calibration") as part:
            group = examples.take(rows)
            benchmarks, of_benchmark = coded(group.benchmark)
            ids, of_id = coded(group.example_id)
            unit = of_benchmark * (len(ids) + len(benchmarks)) + of_id
            found = calibrate(group.confidence, group.correct, unit, part, bins=bins, resamples=resamples)
            out.append(Calibrated(scale, stage, over, name, found, _reliability(group, bins)))
    return out


def _groups(
    examples: Examples, stages: tuple[str, str], panels: Sequence[Panel]
) -> Iterator[tuple[str, str, str, str, np.ndarray]]:
    columns = {name: coded(getattr(examples, name)) for name in ("scale", "stage", "run", "benchmark")}

    def chosen(name: str, words: Sequence[str]) -> np.ndarray:
        known, numbers = columns[name]
        return np.isin(numbers, [at for at, word in enumerate(known) if word in words])

    sure = np.isfinite(examples.confidence)
    for panel in panels:
        at = sure & chosen("scale", [panel.scale]) & chosen("run", panel.runs) & chosen("benchmark", panel.benchmarks)
        for stage in stages:
            here = at & chosen("stage", [stage])
            if here.any():
                yield panel.scale, stage, "all", "", np.flatnonzero(here)
            for over, names in (("benchmark", panel.benchmarks), ("run", panel.runs)):
                for name in names:
                    if (group := here & chosen(over, [name])).any():
                        yield panel.scale, stage, over, name, np.flatnonzero(group)


def _reliability(group: Examples, bins: int) -> np.ndarray:
    numbers = equal_width(group.confidence, bins)
    found = Bins.of(numbers, group.confidence, group.correct, np.ones((1, len(group))))
    return np.stack([found.confidence[0] / found.count[0], found.correct[0] / found.count[0], found.count[0]], axis=1)
