"""Keep documents that a small language model of the corpus finds easy, or neither easy nor hard.

Perplexity filtering as in arXiv:2402.09668, section 3.1, and Marion et al., arXiv:2309.04564, who prefer the middle.
The proxy is our own byte n-gram of order 6 (`worker.kinds.text.byte_ngram`), which needs no model and no target; it is
learned twice, from up to 2 MB of each half of the corpus, and scores the other half, so that no document is easy for
having been learned. What is easy for it is what repeats: the report shows the duplicates that are kept.

Bits per byte, O(characters).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.method import Cost, Term, method
from worker.contract.product import Origin
from worker.executor.passes import map_shards
from worker.kinds.text import byte_ngram
from worker.kinds.text.byte_ngram import ByteNGram
from worker.kinds.text.dataset import Corpus
from worker.kinds.text.embedding.pieces import Piece, pieces
from worker.kinds.text.likeness import halves
from worker.kinds.text.noise import uniform
from worker.kinds.text.selection import SelectParams, candidates, deliver, top
from worker.kinds.text.sizes import size_asked
from worker.kinds.text.summary import TextSummary
from worker.kinds.text.training_text import Documents

LEARNED_BYTES = 2_000_000
_AT_ONCE = 256  # documents


class PerplexityParams(SelectParams):
    """Parameters of `perplexity`."""

    band: Literal["low", "middle"] = Field(
        "low", description="Keep what the model finds easiest, or what is in the middle of all documents."
    )


@method(
    kind="text",
    task="select",
    name="perplexity",
    version=1,
    paper="arXiv:2309.04564",
    memory_mb=1536,
    cost=Cost(seconds=(Term(8.0), Term(3e-6, {"bytes": 1}))),
)
def perplexity(data: Corpus, params: PerplexityParams, ctx: Context) -> TextSummary:
    """Documents that a byte n-gram of the corpus finds easiest, or the middle ones."""
    rows = candidates(data, params, ctx)
    size_asked(data, rows, params)
    bits = bits_per_byte(data, rows, ctx)
    ranks = np.empty(len(rows))
    ranks[np.lexsort((data.key[rows], bits))] = (np.arange(len(rows)) + 0.5) / len(rows)
    picked = top(data, rows, -bits if params.band == "low" else -np.abs(ranks - 0.5), params)
    facts = {"mean_bits_per_byte": float(bits.mean()), "mean_kept": float(bits[np.isin(rows, picked)].mean())}
    settings = params.model_dump() | {"documents": len(picked)}
    return deliver(
        data, params, picked, {"bits_per_byte": bits}, rows, Origin("perplexity", settings=settings),
        warnings=tuple(ctx.warnings), facts=facts,
    )  # fmt: skip


def bits_per_byte(data: Corpus, rows: np.ndarray, ctx: Context) -> np.ndarray:
    """Bits per byte of each document (sorted int64) for the model of the other half, float64 (n,).

    Raises `JobError` where a half has no document.
    """
    half = halves(data, rows)
    found = np.empty(len(rows))
    for fold in (0, 1):
        mine, theirs = np.flatnonzero(half == fold), rows[half != fold]
        if not len(theirs):
            raise JobError(
                "invalid_input",
                f"{len(rows)} documents are too few to learn from one half of them and to score the other.",
                hint="Use a larger dataset.",
            )
        model = _learned(data, theirs, ctx)
        work = pieces(data, rows[mine], _AT_ONCE)
        scored = map_shards(BitsPerByte(model), work, ctx, name=f"bits per byte of half {fold}", step=fold, total=2)
        found[mine] = np.concatenate([np.zeros(0), *scored])
    return found


def _learned(data: Corpus, rows: np.ndarray, ctx: Context) -> ByteNGram:
    """The model of documents drawn from `rows`."""
    order = rows[np.argsort(uniform(data.key[rows], ctx.seed, "proxy"), kind="stable")]
    within = int(np.searchsorted(np.cumsum(data.bytes[order], dtype=np.int64), LEARNED_BYTES, "right"))
    drawn = np.sort(order[: max(1, within)])
    return byte_ngram.train(Documents.of(data.texts(drawn)), lambda: ctx.progress(0, 1, phase="proxy model"))


@dataclass(frozen=True)
class BitsPerByte:
    """The map of a pass: bits per byte of the documents of a piece, float64 (n,)."""

    model: ByteNGram

    def __call__(self, piece: Piece) -> np.ndarray:
        """Of one piece, some 16 MB of text at a time: documents may be long."""
        read = (Documents.of(batch.column(0).to_pylist()) for batch in piece[0].read(piece[1]))
        return np.concatenate([self.model.bits(some) / np.maximum(some.sizes, 1) for some in read])
