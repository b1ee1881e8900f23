"""What a document says, as a number: documents of equal text and features have equal hashes, whatever their labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np

from worker.kinds.labels.dataset import Csr


def contents(count: int, texts: Sequence[Iterable[str] | None], features: Csr | None) -> np.ndarray:
    """Hashes uint64 (n,) of `count` documents: of their columns of text (n,), and of csr features (n, v)."""
    codes = np.empty(count, np.uint64)
    walks = [iter(column) for column in texts if column is not None]
    for row in range(count):
        digest = hashlib.blake2b(digest_size=8)
        for walk in walks:
            digest.update(next(walk).encode() + b"\0")
        if features is not None:
            entries = slice(features.indptr[row], features.indptr[row + 1])
            digest.update(features.indices[entries].tobytes() + features.data[entries].tobytes())
        codes[row] = int.from_bytes(digest.digest(), "big")
    return codes
