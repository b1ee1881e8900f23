"""What holds over a suite of benchmarks: mean transfer, coherence, alignment, and the persistence of both."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from worker.contract.context import Context
from worker.kinds.scores import alignment, coherence
from worker.kinds.scores.correlation import pearson
from worker.kinds.scores.intervals import NOTHING, percentile
from worker.kinds.scores.panel import Panel
from worker.kinds.scores.words import FEWEST

_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % percentile interval over runs; NaN with a reason where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan
    reason: str = ""

    @classmethod
    def of(cls, value: float, drawn: np.ndarray, runs: int, reason: str = "") -> Estimate:
        """With what was drawn (R,); of fewer than 5 runs a bootstrap says nothing."""
        known = drawn[np.isfinite(drawn)]
        low, high = percentile(known) if math.isfinite(value) and runs >= FEWEST else NOTHING
        return cls(value, low, high, "" if math.isfinite(value) else reason)


@dataclass(frozen=True)
class Suite:
    """A category at a scale, "" for all benchmarks. `complete`: runs with scores on every benchmark of it at both
    stages, which coherence is over; `aligned`: runs with an alignment at both stages.
    """

    scale: str
    category: str
    benchmarks: int
    complete: int
    aligned: int
    accuracy: Estimate
    confidence: Estimate
    coherent_first: Estimate
    coherent_second: Estimate
    coherent_across: Estimate
    structure: Estimate
    aligned_first: Estimate
    aligned_second: Estimate
    alignment_persists: Estimate


def suite(
    panel: Panel, category: str, drawn_accuracy: np.ndarray, drawn_confidence: np.ndarray, accuracy: np.ndarray,
    confidence: np.ndarray, weights: np.ndarray, ctx: Context,
) -> Suite:  # fmt: skip
    """A category of a panel. `accuracy`, `confidence`: transfer (K,) of every benchmark of the panel, and under every
    resample (R, K); `weights`: the resamples of runs (R, M).
    """
    members = panel.suite(category)
    coherent = coherent_in(panel, members, weights, ctx)
    first = alignment.alignment(panel.first[:, members], panel.confidence_first[:, members])
    second = alignment.alignment(panel.second[:, members], panel.confidence_second[:, members])
    both = np.flatnonzero(np.isfinite(first) & np.isfinite(second))
    few = f"alignment needs {alignment.FEWEST} benchmarks with confidence"
    drawn = weights[:, both]
    persists = (
        pearson(first[both], second[both], drawn) if len(both) >= alignment.FEWEST else np.full(len(weights), np.nan)
    )
    return Suite(
        panel.scale,
        category,
        len(members),
        len(complete(panel, members)),
        len(both),
        _mean_of(accuracy[members], drawn_accuracy[:, members], len(panel.runs), "no benchmark varies at both stages"),
        _mean_of(confidence[members], drawn_confidence[:, members], len(panel.runs), "confidence is not known"),
        *coherent,
        _over_runs(first[both], drawn, few),
        _over_runs(second[both], drawn, few),
        Estimate.of(
            alignment.persistence(first, second),
            persists,
            len(both),
            f"{len(both)} runs have an alignment at both stages, or theirs is the same" if len(both) else few,
        ),
    )


def complete(panel: Panel, members: np.ndarray) -> np.ndarray:
    """Runs with scores on all of these benchmarks at both stages."""
    known = np.isfinite(panel.first[:, members]) & np.isfinite(panel.second[:, members])
    return np.flatnonzero(known.all(axis=1))


def coherent_in(
    panel: Panel, members: np.ndarray, weights: np.ndarray, ctx: Context
) -> tuple[Estimate, Estimate, Estimate, Estimate]:
    """Coherence at the first stage, at the second, across, and how alike the two matrices are."""
    rows = complete(panel, members)
    few = ""
    if len(members) < 2:
        few = "coherence needs two benchmarks"
    elif len(rows) < 3:
        few = f"{len(rows)} runs have scores on all benchmarks"
    if few:
        nothing = Estimate(math.nan, reason=few)
        return nothing, nothing, nothing, nothing
    first, second = panel.first[np.ix_(rows, members)], panel.second[np.ix_(rows, members)]
    values = _coherence(first, second, np.ones((1, len(rows))))[:, 0]
    kept = weights[:, rows]
    kept = kept[(kept > 0).sum(axis=1) > 1]
    block = max(1, _AT_ONCE // (len(members) ** 2 + first.size))
    drawn = [np.full((4, 0), np.nan)]
    for start in range(0, len(kept) if len(rows) >= FEWEST else 0, block):
        ctx.progress(start, len(kept), phase="coherence")
        drawn.append(_coherence(first, second, kept[start : start + block]))
    together = np.concatenate(drawn, axis=1)
    reasons = ["scores are constant"] * 3 + ["structure needs three benchmarks that vary"]
    found = [Estimate.of(float(v), d, len(rows), why) for v, d, why in zip(values, together, reasons, strict=True)]
    return found[0], found[1], found[2], found[3]


def _coherence(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(4, R): within the first stage, within the second, across, and persistence of the structure."""
    one, two = coherence.matrices(first, first, weights), coherence.matrices(second, second, weights)
    across = coherence.across(coherence.matrices(first, second, weights))
    alike = [coherence.persistence(a, b) for a, b in zip(one, two, strict=True)]
    return np.stack([coherence.within(one), coherence.within(two), across, np.array(alike)])


def _mean_of(values: np.ndarray, drawn: np.ndarray, runs: int, reason: str) -> Estimate:
    """The mean over benchmarks that have a value; of a resample over those that have one there."""
    known = np.isfinite(values)
    if not known.any():
        return Estimate(math.nan, reason=reason)
    there = np.isfinite(drawn[:, known])
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.where(there, drawn[:, known], 0.0).sum(axis=1) / there.sum(axis=1)
    return Estimate.of(float(values[known].mean()), means, runs)


def _over_runs(values: np.ndarray, weights: np.ndarray, reason: str) -> Estimate:
    if not len(values):
        return Estimate(math.nan, reason=reason)
    with np.errstate(divide="ignore", invalid="ignore"):
        means = weights @ values / weights.sum(axis=1)
    return Estimate.of(float(values.mean()), means, len(values))
