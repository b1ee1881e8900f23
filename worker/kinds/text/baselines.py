"""What a selection is compared with, all at equal bytes of training text: the full data, and cheap selections.

A cheap selection holds as many bytes as the summary: documents in its order, the last one cut. Of every set a learner
then sees the same number of bytes (`train_tokens`): sets that hold more give their first ones in a random order, sets
that hold fewer are read again. So the full data is seen in part, several parts drawn, unless all of it fits.
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
from worker.kinds.text.training_text import Documents, TrainingText

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


def document_sets(
    data: Corpus, summaries: Sequence[TextSummary], params: EvaluateParams, ctx: Context
) -> list[DocumentSet]:
    """The full data, the summaries, and the cheap selections of each."""
    seen, train = seen_bytes(summaries, params), data.rows(TRAIN)
    size = _size(data, train)
    seeds = [seed_of(ctx.seed, f"draw {draw}") for draw in range(params.draws)]
    orders = [shuffled(data, train, seed) for seed in (seeds if size > seen else seeds[:1])]
    drawn = tuple(Drawn(data, train, _text(data, order, seen, seen, ctx)) for order in orders)
    compressed = _compressed(data.texts(train)) if size <= _COMPRESSED_UP_TO else None
    whole = _record("full", "full data", "full", drawn, size, compressed)
    found = [DocumentSet(whole, drawn)]
    for number, summary in enumerate(summaries):
        name = "summary" if not number else f"summary-{number + 1}"
        label = "this summary" if len(summaries) == 1 else f"summary {number + 1}: {summary.origin.method or 'given'}"
        order = shuffled(summary.corpus, np.sort(summary.taken), ctx.seed)
        kept = (Drawn(summary.corpus, summary.taken, _text(summary.corpus, order, seen, seen, ctx)),)
        compressed = _compressed(summary.texts()) if summary.bytes <= _COMPRESSED_UP_TO else None
        record = _record(name, label, "summary", kept, summary.bytes, compressed, summary.origin.method)
        found.append(DocumentSet(record, kept))
        found += [_cheap(data, pick, summary, name, seen, seeds, ctx) for pick in params.baselines]
    return found


def _cheap(
    data: Corpus, pick: str, summary: TextSummary, beside: str, seen: int, seeds: Sequence[int], ctx: Context
) -> DocumentSet:
    """A cheap selection of as many bytes as a summary."""
    one, drawn = PICKS[pick], list[Drawn]()
    for seed in seeds if one.drawn else seeds[:1]:
        order = one.order(data, seed_of(seed, pick), ctx)
        ends = np.cumsum(data.bytes[order], dtype=np.int64)
        rows = order[: int(np.searchsorted(ends, summary.bytes)) + 1]
        drawn.append(Drawn(data, np.sort(rows), _text(data, rows, min(seen, summary.bytes), seen, ctx)))
    size = min(summary.bytes, max(_size(data, draw.rows) for draw in drawn))
    suffix, said = ("", "") if beside == "summary" else (f"-{beside}", f" (as {beside.replace('-', ' ')})")
    record = _record(f"{pick}{suffix}", f"{one.label}{said}", "baseline", tuple(drawn), size, None, one.method)
    return DocumentSet(record, tuple(drawn))


def _text(data: Corpus, order: np.ndarray, most: int, seen: int, ctx: Context) -> TrainingText:
    """The training text of documents in an order: the first `most` bytes of them, of which a learner sees `seen`."""
    ends = np.cumsum(data.bytes[order], dtype=np.int64)
    order = order[: int(np.searchsorted(ends, most)) + 1]
    rank = np.argsort(order, kind="stable")
    texts: list[bytes] = [b""] * len(order)
    for number, text in enumerate(data.texts(order[rank])):
        if not number % 4096:
            ctx.progress(number, len(order), phase="reading")
        texts[rank[number]] = text.encode("utf-8")
    if (over := sum(map(len, texts)) - most) > 0:
        texts[-1] = texts[-1][: len(texts[-1]) - over]
    return TrainingText(Documents.of(text for text in texts if text), seen)


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
