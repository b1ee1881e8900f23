"""Keep documents by scores that were uploaded with them: the best, or drawn in proportion to softmax(score / tau).

For scores made elsewhere: a quality model's, FineWeb-Edu's, the criteria of QuRating. Drawing is that of QuRating
(arXiv:2402.09739, section 3.2): scores are brought to mean 0 and deviation 1 over the candidates, and documents drawn
without replacement by the k largest of score / tau + Gumbel noise. Documents without a score are never kept. O(n log
n).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.noise import gumbel
from worker.kinds.text.selection import SelectParams, candidates, deliver, top
from worker.kinds.text.summary import TextSummary


class ImportScoresParams(SelectParams):
    """Parameters of `import-scores`."""

    score: str = Field("", max_length=200, description="The column of scores; blank where there is only one.")
    best: Literal["highest", "lowest"] = Field("highest", description="Which scores are good ones.")
    sampling: Literal["top", "softmax"] = Field("top", description="Keep the best, or draw by softmax(score / tau).")
    tau: float = Field(
        2.0, gt=0, le=1000, description="Temperature of softmax, in deviations of the score; small: nearly the best."
    )


@method(
    kind="text",
    task="select",
    name="import-scores",
    version=1,
    paper="arXiv:2402.09739",
    cost=Cost(seconds=(Term(1.0), Term(1e-5, {"documents": 1}))),
)
def import_scores(data: Corpus, params: ImportScoresParams, ctx: Context) -> TextSummary:
    """Documents by a score that was uploaded with them."""
    name = _column(data, params.score)
    rows = candidates(data, params, ctx)
    given = data.column(name)[rows]
    given[~np.isfinite(given)] = np.nan
    keys = _standardised(given if params.best == "highest" else -given)
    if params.sampling == "softmax":
        keys = keys / params.tau + gumbel(data.key[rows], ctx.seed, "import-scores")
    if missing := int(np.isnan(given).sum()):
        ctx.warn(f"{missing:,} of {len(rows):,} candidates have no {name} and cannot be kept.")
    picked = top(data, rows, keys, params)
    kept = given[np.searchsorted(rows, picked)]
    facts = {"mean_score": float(np.nanmean(given)), "mean_score_kept": float(kept.mean())}
    settings = params.model_dump() | {"score": name, "documents": len(picked)}
    return deliver(
        data, params, picked, {name: given}, rows, Origin("import-scores", settings=settings),
        warnings=tuple(ctx.warnings), facts=facts,
    )  # fmt: skip


def _column(data: Corpus, asked: str) -> str:
    names = data.score_names
    wanted = asked if asked in names else f"score_{asked}"
    if asked and wanted in names:
        return wanted
    if not asked and len(names) == 1:
        return names[0]
    listed = ", ".join(names[:30])
    raise JobError(
        "unknown_column",
        f"The dataset has no scores {asked!r}." if asked else f"The dataset has {len(names)} columns of scores.",
        hint=f"Name one of them: {listed}."
        if names
        else 'Upload the documents with a column of scores, named score_... or in the option scores=["quality"].',
        pointer="/params/score",
    )


def _standardised(scores: np.ndarray) -> np.ndarray:
    """To mean 0 and deviation 1 over those there are, float64; all alike: zeros."""
    known = scores[~np.isnan(scores)].astype(np.float64)
    if not len(known):
        return scores.astype(np.float64)
    return (scores - known.mean()) / (known.std() or 1.0)
