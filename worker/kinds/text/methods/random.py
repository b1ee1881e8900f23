"""Keep documents drawn at random, each as likely as any other: the baseline every selection must beat.

A number between 0 and 1 belongs to each document, which its key and the seed decide; the largest are kept. So the
order of the documents changes nothing. O(documents).
"""

from __future__ import annotations

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.noise import uniform
from worker.kinds.text.selection import SelectParams, candidates, deliver, top
from worker.kinds.text.summary import TextSummary


class RandomParams(SelectParams):
    """Parameters of `random`."""


@method(
    kind="text",
    task="select",
    name="random",
    version=1,
    cost=Cost(seconds=(Term(1.0), Term(1e-5, {"documents": 1}))),
)
def random_documents(data: Corpus, params: RandomParams, ctx: Context) -> TextSummary:
    """Documents at random, up to a number of documents, tokens or bytes."""
    rows = candidates(data, params, ctx)
    scores = uniform(data.key[rows], ctx.seed, "random")
    picked = top(data, rows, scores, params)
    origin = Origin("random", settings=params.model_dump() | {"documents": len(picked)})
    return deliver(data, params, picked, {"random": scores}, rows, origin, warnings=tuple(ctx.warnings))
