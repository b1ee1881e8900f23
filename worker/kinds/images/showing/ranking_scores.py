"""Scores that take labels and augmentation out of an accuracy, after DD-Ranking (arXiv:2505.13300, README of 0.2).

HLR, the hard-label recovery, is the accuracy of full data less that of the summary with hard labels; IOR, the
improvement over random, the accuracy of the summary less that of random images with labels of the same sort. With a
weight w of one half, LRS maps w IOR - (1 - w) HLR from [-1, 1] to [0, 1] by (exp(a) - exp(-1)) / (e - exp(-1)). ARS is
the same map of g (summary - random, augmented) + (1 - g) (summary - random, not augmented).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from worker.evidence.measurements import TrainedResult
from worker.evidence.statistics import value_of
from worker.evidence.table import Cell, Column, Table

_WEIGHT = 0.5


def score(advantage: float) -> float:
    """An advantage in [-1, 1] as a score in [0, 1]."""
    return (math.exp(advantage) - math.exp(-1)) / (math.e - math.exp(-1))


def label_robust_score(improvement: float, recovery_gap: float, weight: float = _WEIGHT) -> float:
    """LRS of IOR and HLR, accuracies in [0, 1]."""
    return score(weight * improvement - (1 - weight) * recovery_gap)


def augmentation_robust_score(augmented: float, plain: float, weight: float = _WEIGHT) -> float:
    """ARS of the lead over random images with and without augmentation, accuracies in [0, 1]."""
    return score(weight * augmented + (1 - weight) * plain)


def table(results: Sequence[TrainedResult], learner: str, label: str, soft: bool) -> Table | None:
    """HLR, IOR, LRS and ARS of the first summary by one learner; None where sets are missing.

    `soft`: whether the summary has soft labels, and random ones are to have them, too. ARS is of validation images,
    since test images are asked once.
    """
    full, summary = _tested(results, learner, "full"), _tested(results, learner, "summary")
    hard = _tested(results, learner, "summary-hard") if soft else summary
    same = "random-soft" if soft else "random"
    random = _tested(results, learner, same)
    if full is None or summary is None or hard is None or random is None:
        return None
    gap, improvement = full - hard, summary - random
    rows: list[dict[str, Cell]] = [
        {"score": "HLR", "what": "full data less this summary with hard labels", "value": 100 * gap, "unit": "points"},
        {
            "score": "IOR",
            "what": f"this summary less random images with {'soft' if soft else 'hard'} labels",
            "value": 100 * improvement,
            "unit": "points",
        },
        {
            "score": "LRS",
            "what": "label-robust score, of half IOR less half HLR",
            "value": label_robust_score(improvement, gap),
            "unit": "0 to 1",
        },
    ]
    leads = [_lead(results, learner, same, augment) for augment in ("dsa", "no")]
    if leads[0] is not None and leads[1] is not None:
        rows.append(
            {
                "score": "ARS",
                "what": "augmentation-robust score, of leads over random with and without augmentation, on validation",
                "value": augmentation_robust_score(leads[0], leads[1]),
                "unit": "0 to 1",
            }
        )
    columns = (
        Column("score", "score", "text"),
        Column("value", "value", decimals=3),
        Column("unit", "in", "text"),
        Column("what", "what it is", "text"),
    )
    caption = (
        f"Scores of DD-Ranking, by {label}: what is left of an accuracy when labels and augmentation are the same for "
        f"all. A summary that is as good as full data and no better than random has an LRS of {score(0.0):.3f}."
    )
    return Table("ranking-scores", caption, columns, tuple(rows), heading="Robust to labels and augmentation?")


def _tested(results: Iterable[TrainedResult], learner: str, name: str) -> float | None:
    found = [
        value_of(one.scores["test"]["accuracy"])
        for one in results
        if one.learner == learner and one.set == name and "test" in one.scores
    ]
    return float(np.mean(found)) if found else None


def _lead(results: Iterable[TrainedResult], learner: str, random: str, augment: str) -> float | None:
    """Validation accuracy of the summary less that of random images, with or without augmentation, each at the step
    size that is best for it."""
    means: list[float] = []
    for name in ("summary", random):
        found = [
            [value_of(tried.validation) for tried in one.tried if tried.settings.get("augment") == augment]
            for one in results
            if one.learner == learner and one.set == name
        ]
        if not found or not all(found):
            return None
        means.append(float(np.mean([max(values) for values in found])))
    return means[0] - means[1]
