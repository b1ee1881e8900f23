"""Is a run confident where it is accurate? Over the benchmarks of a suite within one run, and whether that persists.

Alignment of a run is Pearson's r between accuracy and confidence over benchmarks; its persistence is Pearson's r over
runs between alignment at one stage and at the other (arXiv:2602.11217, protocol 5). It compares means of benchmarks and
says nothing of single examples: that is calibration.
"""

from __future__ import annotations

import numpy as np

from worker.kinds.scores.correlation import pearson, plain

FEWEST = 3


def alignment(accuracy: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Of every run (M,), from scores (M, K); NaN where fewer than 3 benchmarks have both, or one does not vary."""
    return np.array([_of_run(a, c) for a, c in zip(accuracy, confidence, strict=True)])


def persistence(first: np.ndarray, second: np.ndarray) -> float:
    """Pearson's r over runs between alignments (M,) of two stages; NaN of fewer than 3 runs with both."""
    known = np.isfinite(first) & np.isfinite(second)
    return plain(pearson, first[known], second[known]) if known.sum() >= FEWEST else float("nan")


def _of_run(accuracy: np.ndarray, confidence: np.ndarray) -> float:
    known = np.isfinite(accuracy) & np.isfinite(confidence)
    return plain(pearson, accuracy[known], confidence[known]) if known.sum() >= FEWEST else float("nan")
