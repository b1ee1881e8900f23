"""Keep the documents that a language model calls useful: Ask-LLM (Sachdeva et al., 2024, section 3.1, Algorithm 1).

Each document is shown to a model that the operator has named, with the question whether it holds a useful signal for
training. The score is the log-probability that the first token of the answer is yes, over all spellings of it that are
one token; the highest scores are kept (the paper does not sample). One forward pass a document, no training.

Departures from the paper: the wording is ours, texts inside the fences are escaped, ties go by the hash of the id, and
models that give no probabilities can be asked for grades or votes. `prefilter` asks about the survivors of a cheap
method alone. `queries` asks about a few documents of every cluster (`worker.kinds.text.judge_tree`).
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import METHODS, Cost, Term, method
from worker.contract.product import Origin
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.embedding.vectors import EmbedParams, aligned, embedded
from worker.kinds.text.judge_tree import spend
from worker.kinds.text.opinion import Asker, OpinionParams, Opinions, open_asker
from worker.kinds.text.selection import candidates, deliver, top
from worker.kinds.text.sizes import size_asked
from worker.kinds.text.summary import TextSummary
from worker.kinds.text.target import TARGET, target_of

_LITTLE_AGREEMENT = 0.5
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


class AskLLMParams(OpinionParams, EmbedParams):
    """Parameters of `ask-llm`."""

    prefilter: Prefilter | None = Field(None, description="A cheap method whose survivors alone are asked about.")
    queries: int | None = Field(
        None,
        ge=40,
        le=10**9,
        description="Most documents that are asked about; the others get the score of their cluster. Unset: all.",
    )


@method(
    kind="text",
    task="select",
    name="ask-llm",
    version=1,
    paper="arXiv:2402.09668",
    device="any",
    memory_mb=2048,
    inputs=(replace(TARGET, required=False, description="What a prefilter learns from that needs a target set."),),
    needs=("llm",),
    cost=COST,
)
def ask_llm(data: Corpus, params: AskLLMParams, ctx: Context) -> TextSummary:
    """Documents that a language model says are useful for training."""
    rows = candidates(data, params, ctx)
    size_asked(data, rows, params)  # what cannot be kept is said before anything is asked
    if ctx.inputs.get("target") is not None:
        target_of(data, ctx)  # the report compares with a classifier of it, whatever the prefilter
    survivors = rows
    if params.prefilter is not None:
        survivors = survived(data, rows, params, params.prefilter, ctx)
        top(data, rows, aligned(rows, survivors, np.ones(len(survivors))), params)  # nor can more than survives
    asker = open_asker(data, params, ctx)
    try:
        if params.queries is None or params.queries >= len(survivors):
            asker.expect(survivors, ctx)
            with ctx.part("ask", 1, 2) as part:
                asked, found = survivors, asker.opinions(survivors, part)
            scores, facts = aligned(rows, survivors, found.score), {}
        else:
            asked, found, scores, facts = _asked_by_tree(data, rows, survivors, params.queries, params, asker, ctx)
    finally:
        asker.close()
    asker.warn(found, ctx)
    picked = top(data, rows, scores, params)
    facts = asker.facts(found) | {"candidates": len(rows), "asked_about": len(asked)} | facts
    origin = Origin("ask-llm", settings=params.model_dump() | {"documents": len(picked)})
    columns = {"ask-llm": scores} | {name: aligned(rows, asked, values) for name, values in found.columns().items()}
    return deliver(data, params, picked, columns, rows, origin, warnings=tuple(ctx.warnings), facts=facts)


def _asked_by_tree(
    data: Corpus,
    rows: np.ndarray,
    survivors: np.ndarray,
    queries: int,
    params: AskLLMParams,
    asker: Asker,
    ctx: Context,
) -> tuple[np.ndarray, Opinions, np.ndarray, dict[str, Any]]:
    """The documents asked about, what is thought of them, scores of all candidates, and what the tree is worth."""
    left = max(0, queries - asker.answers.paid)  # an attempt before this one may have asked about some
    asker.expect_documents(left, left * asker.longest)
    with ctx.part("ask", 1, 2) as part, embedded(data, survivors, params, part) as (known, vectors):
        with part.part("tree", 1, 2) as growing:
            tree = spend(
                vectors, data.key[known], queries, lambda at: asker.opinions(known[at], growing).score, growing
            )
        asked = known[tree.asked]
        found = asker.opinions(asked, part)  # all known by now
    agreement = tree.agreement()
    facts: dict[str, Any] = {
        "calls_saved": 1 - len(asked) / len(survivors), "leaves": tree.leaves, "probe": len(tree.probe),
        "rank_correlation_on_probe": agreement,
    }  # fmt: skip
    if agreement is None or agreement < _LITTLE_AGREEMENT:
        ctx.warn(
            f"Of {len(survivors):,} documents {len(asked):,} were asked about. On a random probe of {len(tree.probe)} "
            f"the clusters' scores agree with the judge's only by a rank correlation of "
            f"{'none' if agreement is None else format(agreement, '.2f')}: raise `queries`, or leave it out."
        )
    return asked, found, aligned(rows, known, tree.score), facts


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
    if any(one.required and ctx.inputs.get(one.name) is None for one in chosen.inputs):
        raise JobError(
            "missing_input",
            f"The prefilter {first.method} learns from a target set, and the job has none.",
            hint="Give one as the input `target`, or take the prefilter density.",
            pointer="/inputs/target",
        )
    with ctx.part("prefilter", 0, 2) as part:
        kept: TextSummary = chosen.run(data, given, part)
    return np.intersect1d(kept.rows, rows)
