"""Columns and cells that several tables share: an estimate takes three, what it is over takes a few more."""

from __future__ import annotations

from collections.abc import Iterator

from worker.evidence.measurements import Measurements, TrainedResult, TrainingSet
from worker.evidence.statistics import Resampled
from worker.evidence.table import Cell, Column


def with_interval(key: str, label: str, unit: str, decimals: int = 1) -> tuple[Column, ...]:
    """A column for a value, and two for the ends of its interval."""
    ends = (f"{key}_low", f"{key}_high")
    return (
        Column(key, label, unit=unit, decimals=decimals, interval=ends),
        Column(ends[0], f"{label}, low", unit=unit, decimals=decimals),
        Column(ends[1], f"{label}, high", unit=unit, decimals=decimals),
    )


def spread(key: str, quantity: Resampled | None, scale: float) -> dict[str, Cell]:
    """The cells of `with_interval`."""
    if quantity is None:
        return {key: None, f"{key}_low": None, f"{key}_high": None}
    found = quantity.estimate
    return {key: scale * found.value, f"{key}_low": scale * found.low, f"{key}_high": scale * found.high}


def counted(units: str) -> tuple[Column, ...]:
    """Columns for what an estimate is over. `units`: of the test set."""
    return (
        Column("n", "n", unit=f"test {units}", decimals=0),
        Column("draws", "Draws", unit="per set", decimals=0),
        Column("seeds", "Seeds", unit="per learner", decimals=0),
    )


def counts(quantity: Resampled) -> dict[str, Cell]:
    """The cells of `counted`."""
    return {"n": quantity.n, "draws": quantity.draws, "seeds": quantity.seeds}


def trained(m: Measurements) -> Iterator[tuple[str, TrainingSet, tuple[TrainedResult, ...]]]:
    """Every learner on every set it was trained on: (learner, set, results)."""
    for learner in m.learners:
        for one in m.sets:
            if results := m.of(learner.name, one.name):
                yield learner.name, one, results
