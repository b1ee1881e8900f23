"""What a trained learner is to whoever measures it: scores of all items after a context, and how likely rows are."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from worker.kinds.sequences.rows import Rows


class Model(Protocol):
    """A trained learner."""

    def scores(self, contexts: Rows) -> np.ndarray:
        """Scores float32 (q, V) of the event after each context; higher is likelier."""
        ...

    def surprise(self, rows: Rows) -> np.ndarray:
        """-log probability (n,) of all events of each row but the first, in nats, float64."""
        ...
