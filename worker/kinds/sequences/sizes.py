"""How many bytes sequences take: the arrays of a form as they are delivered, and the same compressed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.rows import Rows
from worker.numerics.npz import npz_bytes

LABELS = {
    "hard": "rows of items",
    "soft": "soft labels, low rank",
    "topk": "soft labels, top k",
    "labels": "a teacher's labels alone, before any meta-step",
}
ENCODINGS = {
    "hard": "item numbers and lengths of rows, each in the fewest whole bytes",
    "soft": "items that are read, latent vectors (or their factors) and their decoder",
    "topk": "items that are read, the k most probable next items and their shares",
}
ENCODINGS["labels"] = ENCODINGS["soft"]


def smallest(values: np.ndarray, largest: int | None = None) -> np.ndarray:
    """Whole numbers >= 0 in the smallest unsigned type that holds them (up to `largest`)."""
    top = int(values.max(initial=0)) if largest is None else largest
    return values.astype(np.min_scalar_type(max(top, 0)))


def hard_arrays(rows: Rows, items: int, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Rows as they are delivered: `items`, `lengths` and, where rows stand for several, `weight`."""
    found = {"items": smallest(rows.items, items - 1), "lengths": smallest(rows.lengths)}
    return found | ({} if weights is None else {"weight": weights.astype(np.float32)})


def soft_arrays(data: TrainingSet) -> dict[str, np.ndarray]:
    """A set of soft events as it is delivered: numbers of items in the smallest type, rows by their lengths."""
    found = data.arrays()
    for name in [name for name in found if name.endswith((".items", ".ids"))]:
        found[name] = smallest(found[name], data.items - 1)
    lengths = smallest(np.diff(found.pop("indptr")))
    return found | {"lengths": lengths}


def plain_bytes(arrays: Mapping[str, np.ndarray]) -> int:
    """Bytes of the arrays."""
    return sum(array.nbytes for array in arrays.values())


def compressed_bytes(arrays: Mapping[str, np.ndarray]) -> int:
    """Bytes of the npz file of the arrays, which is deflated."""
    return len(npz_bytes(arrays))


def row_bytes(rows: Rows, items: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Bytes that each row adds, int64 (n,): its items, its length and, where rows stand for several, its weight."""
    width = np.min_scalar_type(max(items - 1, 0)).itemsize
    return rows.lengths * width + smallest(rows.lengths).itemsize + (0 if weights is None else 4)
