"""What the judge asks of a trained model of text, whatever it is inside."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from worker.kinds.text.training_text import Documents


class Model(Protocol):
    """A model of bytes."""

    def bits(self, documents: Documents) -> np.ndarray:
        """Bits that it spends on every document, float64 (n,), each document on its own."""
        ...

    def features(self, documents: Documents) -> np.ndarray | None:
        """What it makes of every document, float (n, d), for a classifier that learns nothing else of the text; None
        where it makes nothing."""
        ...
