"""The learners that synthetic sequences can be made for: causal, and with a second derivative."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worker.kinds.sequences.fitting import Recipe
from worker.kinds.sequences.forms import TrainingSet
from worker.kinds.sequences.learners import sasrec
from worker.kinds.sequences.networks.gru import GRU4Rec


def _gru(data: TrainingSet, settings: Mapping[str, Any]) -> GRU4Rec:
    return GRU4Rec(data.items, width=32, hidden=32, dropout=float(settings.get("dropout", 0.0)))


STUDENTS: dict[str, Recipe] = {"sasrec": sasrec.RECIPE, "gru4rec": Recipe(_gru)}
