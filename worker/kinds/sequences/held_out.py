"""What is held out, and how a model is measured on it: next-event questions that are ranked, or windows of a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

import worker.numerics
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.evidence.measurements import Metric, Ratio, Scores
from worker.evidence.training import code_hash
from worker.kinds.sequences.dataset import Cases, Sequences
from worker.kinds.sequences.evaluate_params import EvaluateParams
from worker.kinds.sequences.models import Model
from worker.kinds.sequences.needs import TEST_EVENTS
from worker.kinds.sequences.ranking import Ranking, metrics_of
from worker.kinds.sequences.rows import Rows

FEW_CASES = 100


@cache
def code() -> str:
    """A hash of the code that scores depend on."""
    return code_hash(Path(__file__).parent, Path(worker.numerics.__path__[0]))


@dataclass(frozen=True)
class Events:
    """Next-event questions, ranked."""

    validation: Cases
    test: Cases
    items: int
    params: EvaluateParams

    @property
    def size(self) -> int:
        """Test units."""
        return len(self.test)

    def validate(self, model: Model) -> Scores:
        """The metric of the verdict on validation cases."""
        wanted = self.params.metric
        ks = (int(wanted.rpartition("@")[2]),) if "@" in wanted else ()
        return Ranking(self.validation, ks, self.items, self.params.seen_items)(model)[wanted]

    def measure(self, model: Model) -> Mapping[str, Mapping[str, Scores]]:
        """Every metric of every test case."""
        ranked = Ranking(self.test, tuple(self.params.k), self.items, self.params.seen_items).ranks(model)
        return {"test": metrics_of(ranked, self.params.k)}

    def metrics(self) -> tuple[Metric, ...]:
        """The one of the verdict first."""
        named = {"ndcg": "nDCG", "hr": "HR"}
        found = [Metric(f"{name}@{k}", f"{label}@{k}") for name, label in named.items() for k in self.params.k]
        found.append(Metric("mrr", "MRR"))
        return tuple(sorted(found, key=lambda metric: metric.name != self.params.metric))


@dataclass(frozen=True)
class Text:
    """Held-out text, read in windows."""

    validation: Rows
    test: Rows
    params: EvaluateParams

    @property
    def size(self) -> int:
        """Test units: windows."""
        return len(self.test)

    def validate(self, model: Model) -> Scores:
        """Perplexity of the validation windows."""
        return _perplexity(model, self.validation)

    def measure(self, model: Model) -> Mapping[str, Mapping[str, Scores]]:
        """Perplexity of the test windows."""
        return {"test": {"perplexity": _perplexity(model, self.test)}}

    def metrics(self) -> tuple[Metric, ...]:
        """Perplexity: lower is better."""
        return (Metric("perplexity", "perplexity", "", 1.0, higher_is_better=False),)


def _perplexity(model: Model, rows: Rows) -> Ratio:
    surprise = model.surprise(rows)
    if not np.isfinite(surprise).all():
        raise JobError("diverged", "The learner gives a token no probability at all.")
    return Ratio(surprise, (rows.lengths - 1).astype(np.float64), exponential=True)


def held_out(data: Sequences, params: EvaluateParams, seed: int, ctx: Context) -> Events | Text:
    """What is validated and tested on; raises `JobError` `too_few_rows` when nothing is held out."""
    if data.is_text:
        held: Events | Text = Text(data.held("validation"), data.held("test"), params)
    else:
        validation = data.cases("validation").some(params.tune_cases, seed)
        held = Events(validation, data.cases("test").some(params.test_cases, seed + 1), data.n_items, params)
    if not held.size:
        raise TEST_EVENTS.refusal()
    if 0 < len(held.validation) < FEW_CASES:
        ctx.warn(f"Only {len(held.validation)} validation cases: the choice of settings is unreliable.")
    return held
