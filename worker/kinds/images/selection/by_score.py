"""Picks by a score of difficulty: the hardest where much is kept, the easiest where little is.

Hard images teach most where there are enough of the easy ones to hold on to ("Beyond neural scaling laws",
arXiv:2206.14486): below a fifth of the data the easiest are kept, above it the hardest, less a tenth that is likely to
have wrong labels.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.kinds.images.budget import counts_of
from worker.kinds.images.dataset import Images
from worker.kinds.images.selection.delivery import picked
from worker.kinds.images.selection.proxies import ProxyParams
from worker.kinds.images.summary import ImagesSummary

LARGE = 0.2
"""Share of the training images from which the hardest are kept."""
Keep = Literal["auto", "hardest", "easiest"]


class ScoreParams(ProxyParams):
    """What methods take that pick by a score."""

    keep: Keep = Field(
        "auto", description="Which images are kept; auto: the hardest from a fifth of the training images on."
    )
    drop_hardest: float = Field(
        0.1, ge=0, le=0.5, description="Share of every class's hardest images never kept: likely wrong labels."
    )


def kept(keep: Keep, counts: np.ndarray, total: int) -> Keep:
    """What `auto` comes to for a size: counts (C,) of `total` images."""
    if keep != "auto":
        return keep
    return "hardest" if counts.sum() >= LARGE * total else "easiest"


def by_score(
    score: np.ndarray, y: np.ndarray, counts: np.ndarray, keep: Keep, drop: float, rng: np.random.Generator
) -> np.ndarray:
    """Numbers (s,) of the images of each class with the highest or the lowest score (n,); ties in random order.

    The share `drop` of a class that has the highest score is left out, as far as enough others remain.
    """
    noise = rng.permutation(len(y))
    found: list[np.ndarray] = []
    for one in np.flatnonzero(counts):
        rows = np.flatnonzero(y == one)
        rows = rows[np.lexsort((noise[rows], score[rows]))]  # easiest first
        spare = min(int(drop * len(rows)), len(rows) - int(counts[one]))
        rows = rows[: len(rows) - spare]
        found.append(rows[-int(counts[one]) :] if keep == "hardest" else rows[: int(counts[one])])
    return np.concatenate(found)


def scored(data: Images, score: np.ndarray, method: str, params: ScoreParams, ctx: Context) -> ImagesSummary:
    """The summary of training images by their score (n,), higher for harder ones."""
    counts = counts_of(data, params)
    keep = kept(params.keep, counts, len(data.train))
    chosen = by_score(score, data.train.y, counts, keep, params.drop_hardest, ctx.rng)
    return picked(data, chosen, method, params, kept=keep)
