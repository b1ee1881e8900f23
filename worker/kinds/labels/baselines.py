"""What a summary of documents is compared with: the full data, random documents of the same number and, where they
differ, of the same bytes, and the documents nearest the centroids of labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np

from worker.contract.context import Context, seed_of
from worker.evidence.measurements import Role, TrainingSet
from worker.evidence.training import Contender
from worker.kinds.labels.dataset import LabelledDocuments, LabelSet
from worker.kinds.labels.delivered_text import encoding_of, lines, sizes
from worker.kinds.labels.selection import nearest_centroids
from worker.kinds.labels.summary import LabelsSummary

Pick = Callable[[LabelSet, int, Context], np.ndarray]
_APART = 0.05
"""Bytes of random documents that differ by more than this share from the summary's are also made equal."""


def at_random(training: LabelSet, count: int, ctx: Context) -> np.ndarray:
    """Documents int64 (count,), all alike."""
    return ctx.rng.permutation(len(training))[:count]


PICKS: dict[str, tuple[str, Pick]] = {
    "random": ("random documents", at_random),
    "nearest-centroid": ("documents nearest their labels' centroids", nearest_centroids),
}


def contenders(
    data: LabelledDocuments, summaries: Sequence[LabelsSummary], picks: Sequence[str], *, draws: int, ctx: Context
) -> list[Contender]:
    """The full data, the summaries, and the alternatives of each. Draws and order follow from `ctx.seed`."""
    train = data.train
    found = [Contender(_record("full", "full data", "full", train, ctx), (train,))]
    for number, summary in enumerate(summaries):
        name = "summary" if not number else f"summary-{number + 1}"
        label = "this summary" if len(summaries) == 1 else f"summary {number + 1}: {summary.origin.method or 'given'}"
        record = _record(name, label, "summary", summary.documents, ctx, summary.origin.method)
        found.append(Contender(record, (summary.documents,)))
        beside = "" if not number else f" (as {name.replace('-', ' ')})"
        suffix = "" if not number else f"-{name}"
        for pick in picks:
            made = _sets(train, pick, len(summary), draws, suffix, ctx)
            found.append(_baseline(f"{pick}{suffix}", f"{PICKS[pick][0]}{beside}", pick, "rows", made, ctx))
        if "random" in picks:
            small = _baseline(
                "", "", "random", "rows", _sets(train, "random", len(summary), 1, suffix, ctx), ctx
            ).record
            if abs(small.bytes - record.bytes) > _APART * record.bytes:
                filled = [_of_bytes(train, record.bytes, draw, suffix, ctx) for draw in range(draws)]
                label = f"random documents of equal bytes{beside}"
                found.append(_baseline(f"random-bytes{suffix}", label, "random", "bytes", filled, ctx))
    return found


def _sets(train: LabelSet, pick: str, count: int, draws: int, suffix: str, ctx: Context) -> list[LabelSet]:
    found: list[LabelSet] = []
    for draw in range(draws if pick == "random" else 1):
        with ctx.part(f"{pick}{suffix} {draw}", seed=seed_of(ctx.seed, f"{pick} {draw}")) as part:
            found.append(train.take(np.sort(PICKS[pick][1](train, min(count, len(train)), part))))
    return found


def _of_bytes(train: LabelSet, size: int, draw: int, suffix: str, ctx: Context) -> LabelSet:
    """Random documents, as many as fit into so many bytes."""
    with ctx.part(f"random-bytes{suffix} {draw}", seed=seed_of(ctx.seed, f"random {draw}")) as part:
        order = part.rng.permutation(len(train))
        taken, total = 0, 0
        for line in _chunks(train, order, part):
            total += len(line)
            if total > size and taken:
                break
            taken += 1
        return train.take(np.sort(order[:taken]))


def _chunks(train: LabelSet, order: np.ndarray, ctx: Context) -> Iterable[bytes]:
    for start in range(0, len(order), 4096):
        ctx.progress(start, len(order), phase="draw")
        yield from lines(train.take(order[start : start + 4096]))


def _baseline(
    name: str, label: str, method: str, equal: Literal["rows", "bytes"], made: Sequence[LabelSet], ctx: Context
) -> Contender:
    """Draws of one pick; sizes are those of the largest."""
    records = [_record(name, label, "baseline", one, ctx, method, equal) for one in made]
    return Contender(max(records, key=lambda one: one.bytes), tuple(made))


def _record(
    name: str,
    label: str,
    role: Role,
    documents: LabelSet,
    ctx: Context,
    method: str = "",
    equal: Literal["rows", "bytes"] = "rows",
) -> TrainingSet:
    plain, packed = sizes(documents, ctx)
    return TrainingSet(
        name, label, role, len(documents), float(documents.targets.nnz), plain, encoding_of(documents), method, equal,
        packed,
    )  # fmt: skip
