"""What a selection is compared with, all at equal bytes of training text: the full data, and cheap selections.

A cheap selection holds as many bytes as the summary: documents in its order, the last one cut. Of every set a learner
then sees the same number of bytes (`train_tokens`): sets that hold more give their first ones in a random order, sets
that hold fewer are read again. So what is larger is seen in part, and several parts are drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from worker.contract.context import Context, seed_of
from worker.evidence.measurements import Role, TrainingSet
from worker.evidence.training import Contender
from worker.kinds.text.dataset import TRAIN, Corpus
from worker.kinds.text.evaluate_params import USUAL_BYTES, EvaluateParams
from worker.kinds.text.picks import PICKS, shuffled
from worker.kinds.text.summary import TextSummary
from worker.kinds.text.training_text import TrainingText, training_text

ENCODING = "text in UTF-8"
_COMPRESSED_UP_TO = 64_000_000


@dataclass(frozen=True)
class Drawn:
    """A set of documents: `rows` int64 of `corpus` that it holds, and the `text` that a learner sees of it."""

    corpus: Corpus
    rows: np.ndarray
    text: TrainingText


@dataclass(frozen=True)
class DocumentSet:
    """A set as the evidence knows it, in one draw or several."""

    record: TrainingSet
    draws: tuple[Drawn, ...]

    @property
    def contender(self) -> Contender:
        """What learners are trained on."""
        return Contender(self.record, tuple(one.text for one in self.draws))


def seen_bytes(summaries: Sequence[TextSummary], params: EvaluateParams) -> int:
    """Bytes that a learner sees of every set."""
    return params.train_tokens or max(1, min(USUAL_BYTES, *(one.bytes for one in summaries)))


@dataclass(frozen=True)
class _Wanted:
    """A set before its text is read. `rows`: the documents that it holds, in the order they are read; the text is the
    first `most` bytes of them."""

    rows: np.ndarray
    most: int


def document_sets(
    data: Corpus, summaries: Sequence[TextSummary], params: EvaluateParams, ctx: Context
) -> list[DocumentSet]:
    """The full data, the summaries, and the cheap selections of each."""
    seen, train = seen_bytes(summaries, params), data.rows(TRAIN)
    seeds = [seed_of(ctx.seed, f"draw {draw}") for draw in range(params.draws)]
    size = _size(data, train)
    whole = [_Wanted(shuffled(data, train, seed), seen) for seed in (seeds if size > seen else seeds[:1])]
    picks = [pick for pick in params.baselines if not PICKS[pick].targeted or "target" in ctx.inputs]
    cheap = [
        [_cheap(data, pick, summary, seen, seed, ctx) for seed in (seeds if PICKS[pick].drawn else seeds[:1])]
        for summary in summaries
        for pick in picks
    ]
    read = iter(_read(data, [*whole, *(one for draws in cheap for one in draws)], seen, ctx))
    drawn = tuple(next(read) for _ in whole)
    compressed = _compressed(data.texts(train)) if size <= _COMPRESSED_UP_TO else None
    found = [DocumentSet(_record("full", "full data", "full", drawn, size, compressed), drawn)]
    left = iter(cheap)
    for number, summary in enumerate(summaries):
        name = "summary" if not number else f"summary-{number + 1}"
        label = "this summary" if len(summaries) == 1 else f"summary {number + 1}: {summary.origin.method or 'given'}"
        own = seeds if summary.bytes > seen else [ctx.seed]  # of a part, which part is chance, as it is of the others
        orders = [shuffled(summary.corpus, np.sort(summary.taken), seed) for seed in own]
        drawn = tuple(_read(summary.corpus, [_Wanted(order, seen) for order in orders], seen, ctx))
        compressed = _compressed(summary.texts()) if summary.bytes <= _COMPRESSED_UP_TO else None
        record = _record(name, label, "summary", drawn, summary.bytes, compressed, summary.origin.method)
        found.append(DocumentSet(record, drawn))
        suffix, said = ("", "") if not number else (f"-{name}", f" (as {name.replace('-', ' ')})")
        for pick in picks:
            drawn = tuple(next(read) for _ in next(left))
            size = min(summary.bytes, max(_size(data, one.rows) for one in drawn))
            one = PICKS[pick]
            record = _record(f"{pick}{suffix}", f"{one.label}{said}", "baseline", drawn, size, None, one.method)
            found.append(DocumentSet(record, drawn))
    return found


def _cheap(data: Corpus, pick: str, summary: TextSummary, seen: int, seed: int, ctx: Context) -> _Wanted:
    """A cheap selection of as many bytes as a summary, of which a part is read in a random order, as of the summary."""
    rows = _within(data, PICKS[pick].order(data, seed_of(seed, pick), ctx), summary.bytes)
    if seen < summary.bytes:
        rows = shuffled(data, rows, seed)
    return _Wanted(rows, min(seen, summary.bytes))


def _within(data: Corpus, order: np.ndarray, most: int) -> np.ndarray:
    """The first documents of an order that it takes to hold so many bytes."""
    return order[: int(np.searchsorted(np.cumsum(data.bytes[order], dtype=np.int64), most)) + 1]


def _read(data: Corpus, wanted: Sequence[_Wanted], seen: int, ctx: Context) -> list[Drawn]:
    """The sets with the text that a learner sees, `seen` bytes of each, in one pass over the corpus."""
    orders = [_within(data, one.rows, one.most) for one in wanted]
    rows = np.unique(np.concatenate(orders))
    texts: dict[int, bytes] = {}
    for number, (row, text) in enumerate(zip(rows.tolist(), data.texts(rows), strict=True)):
        if not number % 1024:
            ctx.progress(number, len(rows), phase="reading")
        texts[row] = text.encode("utf-8")
    return [
        Drawn(data, np.sort(one.rows), training_text((texts[row] for row in order.tolist()), one.most, seen))
        for one, order in zip(wanted, orders, strict=True)
    ]


def _record(
    name: str,
    label: str,
    role: Role,
    drawn: Sequence[Drawn],
    size: int,
    compressed: int | None,
    method: str = "",
) -> TrainingSet:
    rows = [len(one.rows) for one in drawn]
    tokens = [float(one.corpus.tokens[one.rows].sum(dtype=np.int64)) for one in drawn]
    return TrainingSet(
        name, label, role, round(float(np.mean(rows))), float(np.mean(tokens)), size, ENCODING, method, "bytes",
        compressed,
    )  # fmt: skip


def _size(data: Corpus, rows: np.ndarray) -> int:
    return int(data.bytes[rows].sum(dtype=np.int64))


def _compressed(texts: Iterable[str]) -> int:
    """Bytes after lossless compression (zstd), in blocks of about 4 MB."""
    total, block, held = 0, list[str](), 0
    for text in texts:
        block.append(text)
        held += len(text)
        if held > 4_000_000:
            total, block, held = total + _squeezed(block), [], 0
    return total + (_squeezed(block) if block else 0)


def _squeezed(block: Sequence[str]) -> int:
    return pa.compress("\n".join(block).encode("utf-8"), codec="zstd").size
