"""What a corpus should be more like: a set of documents that some selections take beside the dataset."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import Input
from worker.kinds.text.dataset import TRAIN, Corpus
from worker.kinds.text.deduplication import near_any
from worker.kinds.text.summary import TextSummary

TARGET = Input(
    "target",
    "either",
    "text",
    description="Documents of the sort that is wanted: a dataset version, or what another job kept.",
)
FEWEST = 10


def target_of(data: Corpus, ctx: Context) -> TextSummary:
    """The target set, without what its own version holds out, and what equals or nearly equals documents that the
    selection is judged on: those that the dataset holds out, and those of the high-quality set.

    Raises `JobError` where it is too small to learn from; warns of what was left out of it.
    """
    target: TextSummary = ctx.inputs["target"]
    for warning in target.warnings:
        ctx.warn(f"Target set: {warning}")
    target = _unasked(data, target, ctx)
    if len(target) < FEWEST:
        raise JobError(
            "invalid_input",
            f"The target set has {len(target)} documents that nothing is judged on; at least {FEWEST} are needed to "
            "learn what is wanted.",
            hint="Give a target of some hundred documents for training (a column `split` says so) that are neither "
            "held out by the dataset nor in the high-quality set.",
            pointer="/inputs/target",
        )
    return target


def _unasked(data: Corpus, target: TextSummary, ctx: Context) -> TextSummary:
    """The target without documents that are held out, or near-copies of them: who is shown the questions finds more of
    them, and seems better than he is. What its own version holds out may be asked by a later job."""
    hq: Corpus | None = ctx.inputs.get("hq")
    holders = {id(one): one for one in (data, target.corpus, hq) if one is not None}.values()
    rows = np.sort(target.taken)
    known = np.isin(target.corpus.hash[rows], np.concatenate([one.held_out for one in holders]))
    held = [(one, np.flatnonzero(one.split > TRAIN)) for one in holders]
    with ctx.part("target", 0, 10) as part:
        known |= near_any([(target.corpus, rows)], held, part, "the target")
    if not known.any():
        return target
    ctx.warn(
        f"{int(known.sum()):,} documents of the target set are held out by it, or equal or nearly equal documents that "
        "selections are judged on; they were left out of the target."
    )
    kept = ~np.isin(target.taken, rows[known])
    return replace(target, taken=target.taken[kept], rows=target.rows[kept], weights=target.weights[kept])
