"""Keep the documents that a language model calls useful: Ask-LLM (Sachdeva et al., 2024, section 3.1, Algorithm 1).

Each document is shown to a model that the operator has named, with the question whether it holds a useful signal for
training. The score is the log-probability that the first token of the answer is yes, over all spellings of it that are
one token; the highest scores are kept (the paper does not sample). One forward pass a document, no training.

Departures from the paper: the wording is ours, texts inside the fences are escaped, ties go by the hash of the id, and
models that give no probabilities can be asked for grades or votes. `prefilter` asks about the survivors of a cheap
method alone. `queries` asks about a few documents of every cluster (`worker.kinds.text.judge_tree`).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import METHODS, Cost, Term, method
from worker.contract.product import Origin
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.opinion import OpinionParams, Opinions, open_asker
from worker.kinds.text.selection import candidates, deliver, top
from worker.kinds.text.sizes import size_asked
from worker.kinds.text.summary import TextSummary

COST = Cost(
    seconds=(Term(8.0), Term(0.02, {"documents": 1})),
    memory_mb=(Term(900.0), Term(1e-3, {"documents": 1})),
)


class Prefilter(BaseModel):
    """A cheap method whose survivors alone are asked about."""

    model_config = ConfigDict(extra="forbid")

    method: Literal["random", "density", "quality-classifier", "perplexity", "dsir", "import-scores"] = Field(
        description="The method that goes first."
    )
    keep: float = Field(0.5, gt=0, lt=1, description="Share of the candidates that it keeps.")
    params: dict[str, Any] = Field(default_factory=dict, description="Its own parameters, but for the size.")


class AskLLMParams(OpinionParams):
    """Parameters of `ask-llm`."""

    prefilter: Prefilter | None = Field(None, description="A cheap method whose survivors alone are asked about.")


@method(
    kind="text",
    task="select",
    name="ask-llm",
    version=1,
    paper="arXiv:2402.09668",
    device="any",
    memory_mb=2048,
    needs=("llm",),
    cost=COST,
)
def ask_llm(data: Corpus, params: AskLLMParams, ctx: Context) -> TextSummary:
    """Documents that a language model says are useful for training."""
    rows = candidates(data, params, ctx)
    size_asked(data, rows, params)  # what cannot be kept is said before anything is asked
    survivors = rows if params.prefilter is None else survived(data, rows, params, params.prefilter, ctx)
    asker = open_asker(data, params, ctx)
    try:
        asker.expect(survivors, ctx)
        with ctx.part("ask", 1, 2) as part:
            found = asker.opinions(survivors, part)
    finally:
        asker.close()
    asker.warn(found, ctx)
    spread = _spread_over(rows, survivors)
    scores = spread(found.score)
    picked = top(data, rows, scores, params)
    facts = asker.facts(found) | {"candidates": len(rows), "asked_about": len(survivors)}
    origin = Origin("ask-llm", settings=params.model_dump() | {"documents": len(picked)})
    columns = {"ask-llm": scores} | {name: spread(values) for name, values in found.columns().items()}
    return deliver(data, params, picked, columns, rows, origin, warnings=tuple(ctx.warnings), facts=facts)


def survived(data: Corpus, rows: np.ndarray, params: OpinionParams, first: Prefilter, ctx: Context) -> np.ndarray:
    """Those of the candidates that the first method keeps, sorted.

    Raises `JobError` `invalid_params` where its parameters do not fit it.
    """
    import_module(f"worker.kinds.text.methods.{first.method.replace('-', '_')}")
    chosen = METHODS["text", first.method]
    shared = {name: getattr(params, name) for name in ("dedup", "min_chars")}
    try:
        given = chosen.params(**(shared | first.params | {"rate": first.keep}))
    except ValueError as unfit:
        raise JobError(
            "invalid_params",
            f"The parameters of the prefilter do not fit {first.method}: {str(unfit).splitlines()[-2].strip()}",
            hint=f"See the parameters of {first.method}; the size is `keep`.",
            pointer="/params/prefilter/params",
        ) from unfit
    with ctx.part("prefilter", 0, 2) as part:
        kept: TextSummary = chosen.run(data, given, part)
    return np.intersect1d(kept.rows, rows)


def _spread_over(rows: np.ndarray, asked: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Values of the documents asked about at their places among all, NaN elsewhere; float32."""
    places = np.searchsorted(rows, asked)

    def spread(values: np.ndarray) -> np.ndarray:
        found = np.full(len(rows), np.nan, np.float32)
        found[places] = values
        return found

    return spread
