"""A graph as it was uploaded: arrays that nothing has been checked of but that they are arrays."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy import sparse


@dataclass
class RawGraph:
    """`n`: nodes. `edges`: (2, E) numbers of nodes, in any direction, repeated or not. `x`: (n', d) numbers, dense or
    CSR, None where there are none. `labels`: (n,) whole numbers with -1 for unknown, or text with "" for unknown, or
    whatever else was given, to be refused by name; None where there are none. `weights`: (E,) or None. `parts`: node
    numbers of `train`, `validation` and `test`, None without a split. `ids`: text (n,) or None. `source`: what it was
    read from, and `where`: what the parts of it are called there, for refusals.
    """

    n: int
    edges: np.ndarray
    x: np.ndarray | sparse.csr_array | None = None
    labels: np.ndarray | None = None
    weights: np.ndarray | None = None
    parts: dict[str, np.ndarray] | None = None
    ids: np.ndarray | None = None
    layout: str = ""
    files: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list[str])
