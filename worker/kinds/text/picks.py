"""Cheap selections that stand beside every summary: an order of the training documents, read up to a number of bytes.

One function a selection: `(corpus, seed, ctx) -> numbers of training documents (int64), first chosen first`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worker.contract.context import Context
from worker.kinds.text.dataset import TRAIN, Corpus
from worker.kinds.text.likeness import quality_scores
from worker.kinds.text.noise import uniform
from worker.kinds.text.selection import first_of_each
from worker.kinds.text.target import target_of


@dataclass(frozen=True)
class Pick:
    """A cheap selection. `method`: the registered method that makes it; `drawn`: another seed gives another one;
    `targeted`: it is made only where the job has a target set, which it takes from `ctx.inputs`."""

    label: str
    order: Callable[[Corpus, int, Context], np.ndarray]
    method: str = ""
    drawn: bool = True
    targeted: bool = False


def shuffled(data: Corpus, rows: np.ndarray, seed: int) -> np.ndarray:
    """Documents in a random order that their keys and the seed decide."""
    return rows[np.argsort(uniform(data.key[rows], seed, "judge"), kind="stable")]


def at_random(data: Corpus, seed: int, ctx: Context) -> np.ndarray:
    """All training documents, duplicates among them."""
    return shuffled(data, data.rows(TRAIN), seed)


def deduplicated(data: Corpus, seed: int, ctx: Context) -> np.ndarray:
    """One of each set of exact copies, and nothing else left out."""
    return shuffled(data, first_of_each(data, data.rows(TRAIN)), seed)


def like_the_target(data: Corpus, seed: int, ctx: Context) -> np.ndarray:
    """One of each set of exact copies, what a linear classifier takes for documents of the target first."""
    rows = first_of_each(data, data.rows(TRAIN))
    scores = quality_scores(data, rows, target_of(data, ctx), ctx)
    return rows[np.lexsort((data.key[rows], -scores))]


PICKS: dict[str, Pick] = {
    "random": Pick("random documents", at_random, "random"),
    "dedup-only": Pick("deduplication only", deduplicated, "dedup-only"),
    "quality-classifier": Pick(
        "hashed classifier of the target (its best)", like_the_target, "quality-classifier", drawn=False, targeted=True
    ),
}
