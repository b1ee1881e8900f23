"""Keep documents whose words are those of a target set: importance resampling of hashed n-grams.

DSIR (Xie et al., arXiv:2302.03169): words and pairs of neighbours, lower-cased, punctuation marks being words, hashed
into 10,000 buckets; with p the shares of the buckets in the target and q in the corpus (one added to every count),

    log weight of a document = sum over its n-grams of ln p - ln q,

and documents are drawn without replacement in proportion to their weights (largest keys with Gumbel noise). Sums grow
with length: long documents have extreme weights, which is as published. Two passes, O(characters).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.executor.passes import map_shards, run_pass
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.embedding.ngrams import Grams
from worker.kinds.text.embedding.pieces import Piece, pieces
from worker.kinds.text.noise import gumbel
from worker.kinds.text.selection import SelectParams, candidates, deliver, top
from worker.kinds.text.sizes import size_asked
from worker.kinds.text.summary import TextSummary
from worker.kinds.text.target import TARGET, target_of
from worker.numerics.compiled import while_waiting


class DsirParams(SelectParams):
    """Parameters of `dsir`."""

    buckets: int = Field(10_000, ge=100, le=1_000_000, description="Numbers that n-grams are hashed into.")
    draw: bool = Field(True, description="Draw by the weights, as published; if not, keep the largest.")


@method(
    kind="text",
    task="select",
    name="dsir",
    version=1,
    paper="arXiv:2302.03169",
    inputs=(TARGET,),
    cost=Cost(seconds=(Term(2.0), Term(1e-5, {"documents": 1}), Term(2e-7, {"bytes": 1}))),
)
def dsir(data: Corpus, params: DsirParams, ctx: Context) -> TextSummary:
    """Documents drawn such that their words are distributed as in a target set."""
    target = target_of(data, ctx)
    rows = candidates(data, params, ctx)
    size_asked(data, rows, params)
    grams = Grams(params.buckets, words=2, marks=True)
    while_waiting(grams.warm_up, lambda: ctx.progress(0, 1, phase="n-grams"))
    wanted = pieces(target.corpus, np.sort(target.taken))
    there = run_pass(Totals(grams), wanted, np.add, ctx, name="n-grams of the target", total=3)
    work = pieces(data, rows)
    here = run_pass(Totals(grams), work, np.add, ctx, name="n-grams of the corpus", step=1, total=3)
    ratio = _log_shares(there) - _log_shares(here)
    found = map_shards(Sums(grams, ratio), work, ctx, name="importance weights", step=2, total=3)
    weights = np.concatenate(list(found))
    keys = weights + gumbel(data.key[rows], ctx.seed, "dsir") if params.draw else weights
    picked = top(data, rows, keys, params)
    facts = {"kl_of_target_from_corpus": _divergence(there, here), "target_documents": len(target)}
    settings = params.model_dump() | {"documents": len(picked)}
    return deliver(
        data, params, picked, {"log_importance": weights}, rows, Origin("dsir", settings=settings),
        warnings=tuple(ctx.warnings), facts=facts,
    )  # fmt: skip


def _log_shares(counts: np.ndarray) -> np.ndarray:
    return np.log((counts + 1) / (counts + 1).sum())


def _divergence(there: np.ndarray, here: np.ndarray) -> float:
    """Kullback-Leibler divergence in nats."""
    p = _log_shares(there)
    return float(np.exp(p) @ (p - _log_shares(here)))


@dataclass(frozen=True)
class Totals:
    """The map of a pass: how often each bucket occurs in a piece, int64 (buckets,)."""

    grams: Grams

    def __call__(self, piece: Piece) -> np.ndarray:
        """Of one piece."""
        total = np.zeros(self.grams.buckets, np.int64)
        for batch in piece[0].read(piece[1]):
            counts = self.grams.count(batch.column(0))
            total += np.bincount(counts.indices, counts.data, self.grams.buckets).astype(np.int64)
        return total


@dataclass(frozen=True)
class Sums:
    """The map of a pass: of each document of a piece the sum of its n-grams' values, float64 (n,)."""

    grams: Grams
    values: np.ndarray

    def __call__(self, piece: Piece) -> np.ndarray:
        """Of one piece."""
        batches = piece[0].read(piece[1])
        return np.concatenate([self.grams.count(batch.column(0)) @ self.values for batch in batches])
