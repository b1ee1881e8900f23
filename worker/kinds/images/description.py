"""What a user is told about a dataset: numbers, and a few of its images."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np

from worker.kinds.images.dataset import PARTS, Images, load
from worker.kinds.images.sheet import png

_PREVIEW, _MOST_SIDE = 20, 64


def describe(folder: Path) -> dict[str, Any]:
    """{statistics, preview, warnings} of canonical files."""
    images = load(folder)
    return {"statistics": _statistics(images), "preview": _preview(images), "warnings": []}


def _statistics(images: Images) -> dict[str, Any]:
    c, h, w = images.shape
    counts = np.bincount(images.label, minlength=len(images.classes))
    most = np.argsort(-counts, kind="stable")[:50]
    return {
        "images": len(images),
        **{f"images_{name}": int((images.split == code).sum()) for code, name in enumerate(PARTS)},
        "classes": len(images.classes),
        "height": h,
        "width": w,
        "channels": c,
        "values": c * h * w,
        "labels": {images.classes[at]: int(counts[at]) for at in most},
        "least_of_a_class": int(images.counts.min()) if len(images.counts) else 0,
    }


def _preview(images: Images) -> list[dict[str, Any]]:
    """Images of every class in turn, small ones as they are, of large ones every n-th pixel."""
    order = np.argsort(images.label, kind="stable")
    starts = np.searchsorted(images.label[order], np.arange(len(images.classes)))
    ends = np.append(starts[1:], len(order))
    shown: list[int] = []
    turn = 0
    while len(shown) < min(_PREVIEW, len(images)):
        shown += [int(order[start + turn]) for start, end in zip(starts, ends, strict=True) if start + turn < end]
        turn += 1
    step = max(1, -(-max(images.shape[1:]) // _MOST_SIDE))
    return [
        {
            "class": images.classes[images.label[row]],
            "split": PARTS[images.split[row]],
            "source": None if images.source is None else images.source[row].as_py(),
            "image": "data:image/png;base64," + base64.b64encode(png(images.pixels[row, ::step, ::step])).decode(),
        }
        for row in shown[:_PREVIEW]
    ]
