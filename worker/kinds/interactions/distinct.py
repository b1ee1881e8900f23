"""Equal rows looked at once: where rows are short, most users share theirs with somebody."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy import sparse


def distinct(rows: sparse.csr_array) -> tuple[np.ndarray, np.ndarray]:
    """The first row of every pattern (d,), in ascending order, and which of these patterns each row (n,) has.

    Only which items a row (n, I) has counts, not their values; sorts the rows' indices in place.
    """
    rows.sort_indices()
    number: dict[bytes, int] = {}
    ends = pairwise(rows.indptr.tolist())
    pattern = np.array([number.setdefault(rows.indices[a:b].tobytes(), len(number)) for a, b in ends], np.int64)
    return np.unique(pattern, return_index=True)[1], pattern
