"""The learners that synthetic sequences can be made for: causal, and with a second derivative."""

from __future__ import annotations

from worker.kinds.sequences.fitting import Recipe
from worker.kinds.sequences.learners import causal_lm, gru4rec, lstm, sasrec

STUDENTS: dict[str, Recipe] = {
    "sasrec": sasrec.RECIPE,
    "gru4rec": Recipe(gru4rec.network),
    "causal-lm": Recipe(causal_lm.network, rate=2e-3, batch=32, decay=0.01, clip=1.0),
    "lstm": Recipe(lstm.network, rate=2e-3, batch=32, decay=0.01, clip=1.0),
}
USUAL = {"events": "sasrec", "text": "causal-lm"}
