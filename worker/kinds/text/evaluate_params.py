"""How a selection of documents is judged: the parameters, and what is usual."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from pydantic import BaseModel, ConfigDict, Field

from worker.contract.choices import with_choices
from worker.contract.learner import Learner, learners_of
from worker.kinds.text.picks import PICKS

KIND = "text"
USUAL_BYTES = 2_000_000


class EvaluateParams(BaseModel):
    """How a selection of documents is judged."""

    model_config = ConfigDict(extra="forbid")

    learners: list[str] = Field(
        [], min_length=1, description="Models trained on every set; the floor that they have to beat always is."
    )
    baselines: list[str] = Field([], description="Cheap selections of as many bytes to compare with.")
    train_tokens: int = Field(
        0,
        ge=0,
        le=50_000_000,
        description="Tokens, which to these learners are bytes, that a learner sees of every set alike; sets that hold "
        "fewer are read again. 0: 2,000,000, or all of the selection where that is less, read once.",
    )
    test_bytes: int = Field(1_000_000, ge=1_000, description="Bytes of whole held-out documents to measure on.")
    tune_bytes: int = Field(
        500_000, ge=1_000, description="Bytes of whole validation documents to choose and to fit classifiers on."
    )
    seeds: int = Field(3, ge=1, le=20, description="How often a learner that starts at random is trained on each set.")
    draws: int = Field(3, ge=1, le=20, description="How often what is drawn at random is drawn.")
    bootstrap: int = Field(1000, ge=100, le=20_000, description="Resamples behind every interval.")

    def tuned(self, learner: Learner) -> Learner:
        """A learner with as many seeds as were asked for."""
        return learner if learner.seeds == 1 else replace(learner, seeds=self.seeds)


@cache
def evaluate_params() -> type[EvaluateParams]:
    """`EvaluateParams` with the learners and the cheap selections there are."""
    known = learners_of(KIND)
    usual = [name for name, one in known.items() if one.usual and not one.floor]
    return with_choices(EvaluateParams, learners=(known, usual), baselines=(PICKS, PICKS))
