"""From what a picker picked to a summary: the size, the order, weights, and where it comes from."""

from __future__ import annotations

from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.contract.product import Origin
from worker.kinds.images.budget import SizeParams, counts_of
from worker.kinds.images.dataset import TRAIN, Images
from worker.kinds.images.selection.pickers import Features, Picker, pixel_features, spread
from worker.kinds.images.summary import ImagesSummary, of_rows


def pick_by(
    data: Images, params: SizeParams, pick: Picker, method: str, ctx: Context, features: Features | None = None
) -> ImagesSummary:
    """The summary that a picker makes of training images, as points of their pixels unless others are given."""
    seen = pixel_features(data.train) if features is None else features
    return picked(data, spread(data.train, counts_of(data, params), seen, pick, ctx), method, params)


def picked(
    data: Images,
    chosen: np.ndarray,
    method: str,
    params: SizeParams,
    *,
    weights: np.ndarray | None = None,
    **more: Any,
) -> ImagesSummary:
    """The summary of these training images (s,), numbered within the training part."""
    settings = params.model_dump() | {"images": len(chosen)} | more
    rows = np.flatnonzero(data.split == TRAIN)[chosen]
    return of_rows(data, rows, Origin(method, settings=settings), weights=weights)
