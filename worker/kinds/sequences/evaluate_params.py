"""How products of sequences are judged: the parameters, and what is usual for events and for text."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from pydantic import BaseModel, ConfigDict, Field, model_validator

from worker.contract.choices import with_choices
from worker.contract.errors import JobError
from worker.contract.learner import Learner, and_floors, learners_of

KIND = "sequences"
TEXT = {"unigram", "bigram", "causal-lm", "lstm"}
BASELINES = ("random", "longest", "k-center", "teacher-labels")


class EvaluateParams(BaseModel):
    """How a summary of sequences is judged."""

    model_config = ConfigDict(extra="forbid")

    learners: list[str] = Field(
        [], description="Models trained on every set; an empty list takes those that are usual for events or for text."
    )
    baselines: list[str] = Field([], description="Cheap sets of equal rows and of equal bytes to compare with.")
    k: list[int] = Field([10, 100], min_length=1, max_length=5, description="Lengths of the ranked list.")
    metric: str = Field(
        "auto",
        pattern=r"^(auto|perplexity|mrr|(ndcg|hr)@\d+)$",
        description="What is tuned for and what the verdict speaks of; auto: ndcg@10, of text perplexity.",
    )
    sampled_negatives: int = Field(
        0, ge=0, le=10_000, description="Only 0 is served: targets are ranked among all items, never among a sample."
    )
    seen_items: bool = Field(False, description="Whether items of the context may be recommended again.")
    seeds: int = Field(3, ge=1, le=20, description="How often a learner that starts at random is trained on each set.")
    steps: int = Field(
        0,
        ge=0,
        le=100_000,
        description="The most training steps of neural learners; 0: as many as validation asks for.",
    )
    draws: int = Field(3, ge=1, le=20, description="How often the random baseline is drawn.")
    tune_cases: int = Field(5000, ge=0, description="Validation cases that settings are chosen on; 0 takes all.")
    test_cases: int = Field(0, ge=0, description="Test cases to measure on; 0 takes all.")
    bootstrap: int = Field(1000, ge=100, le=20_000, description="Resamples behind every interval.")

    @model_validator(mode="after")
    def _metric_is_measured(self) -> EvaluateParams:
        if any(not 1 <= k <= 1000 for k in self.k):
            raise ValueError("k lies between 1 and 1000")
        length = self.metric.rpartition("@")[2]
        if length.isdigit() and int(length) not in self.k:
            raise ValueError(f"metric {self.metric} needs its list length in k")
        if self.metric == "auto" and 10 not in self.k:
            raise ValueError("metric auto needs 10 in k; or name the metric")
        if self.sampled_negatives:
            raise ValueError(
                "metrics over sampled negatives are not served: they order models otherwise than full ranking does; "
                "leave sampled_negatives at 0"
            )
        return self

    def of(self, *, text: bool) -> EvaluateParams:
        """The same with learners and metric as they are for text, or for events, and with their floors.

        Raises `JobError` where the other sort was asked for.
        """
        known = learners_of(KIND)
        metric = self.metric
        if metric == "auto":
            metric = "perplexity" if text else "ndcg@10"
        if (metric == "perplexity") != text:
            raise JobError(
                "invalid_input",
                f"{metric} is not a metric of {'text' if text else 'events'}.",
                hint="Use perplexity for text, and ndcg@10, hr@10 or mrr for events.",
                pointer="/evaluate/metric",
            )
        names = self.learners or [name for name, one in known.items() if one.usual and (name in TEXT) == text]
        able = {name: one for name, one in known.items() if (name in TEXT) == text}
        wrong = [name for name in names if name not in able]
        if wrong:
            raise JobError(
                "invalid_input",
                f"{known[wrong[0]].label} does not learn from {'text' if text else 'events'}.",
                hint=f"Learners for it: {', '.join(able)}.",
                pointer="/evaluate/learners",
            )
        return self.model_copy(update={"learners": and_floors(names, able), "metric": metric})

    def tuned(self, learner: Learner) -> Learner:
        """A learner with as many seeds and steps as were asked for."""
        if learner.seeds == 1:
            return learner
        if not self.steps:
            return replace(learner, seeds=self.seeds)
        settings = [one for one in learner.settings if int(one["steps"]) <= self.steps]
        settings = settings or [{**one, "steps": self.steps} for one in learner.settings[:1]]
        return replace(learner, seeds=self.seeds, settings=tuple(settings), further=None)


@cache
def evaluate_params() -> type[EvaluateParams]:
    """`EvaluateParams` with the learners and the cheap sets there are."""
    return with_choices(EvaluateParams, learners=(learners_of(KIND), ()), baselines=(BASELINES, BASELINES))
