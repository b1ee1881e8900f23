"""The learners that synthetic sequences can be made for: causal, and with a second derivative."""

from __future__ import annotations

from worker.kinds.sequences.fitting import Recipe
from worker.kinds.sequences.learners import causal_lm, gru4rec, lstm, sasrec

STUDENTS: dict[str, Recipe] = {
    "sasrec": sasrec.RECIPE,
    "gru4rec": gru4rec.RECIPE,
    "causal-lm": causal_lm.RECIPE,
    "lstm": lstm.RECIPE,
}
USUAL = {"events": "sasrec", "text": "causal-lm"}
