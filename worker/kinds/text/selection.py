"""What every selection of documents shares: its parameters, who is a candidate, the best of them, and delivery."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.product import Origin
from worker.kinds.text.dataset import TRAIN, Corpus
from worker.kinds.text.deduplication import first_of_each, without_near_copies
from worker.kinds.text.sizes import Size, SizeParams, filled, size_asked
from worker.kinds.text.summary import TextSummary


class SelectParams(SizeParams):
    """What every method that keeps documents takes."""

    dedup: Literal["none", "exact", "minhash"] = Field(
        "exact",
        description="Duplicates left out first: none, exact copies, or also near-copies (MinHash of word 5-grams).",
    )
    min_chars: int = Field(1, ge=0, le=1_000_000, description="Shorter documents are no candidates.")
    group_floor: float = Field(
        0.0, ge=0, le=1, description="Share of each source's own candidates that is kept at least; 0: sources are free."
    )
    keep_order: bool = Field(True, description="Deliver in the order of the dataset; if not, best first.")


def candidates(data: Corpus, params: SelectParams, ctx: Context) -> np.ndarray:
    """Sorted int64 numbers of the training documents that pass `min_chars` and `dedup`.

    Raises `JobError` `invalid_input` where none is left.
    """
    rows = data.rows(TRAIN)
    ctx.progress(0, 1, phase="candidates")
    rows = rows[data.chars[rows] >= params.min_chars]
    if params.dedup != "none":
        rows = first_of_each(data, rows)
    if params.dedup == "minhash":
        rows = without_near_copies(data, rows, ctx)
    if not len(rows):
        raise JobError(
            "invalid_input",
            f"No training document is left after min_chars={params.min_chars} and dedup={params.dedup}.",
            hint="Lower min_chars.",
            pointer="/params/min_chars",
        )
    return rows


def top(data: Corpus, rows: np.ndarray, scores: np.ndarray, params: SelectParams) -> np.ndarray:
    """The best of the candidates `rows` by `scores` (aligned), up to the size in documents, tokens or bytes: numbers,
    best first. Ties go by the key. A score that is NaN is none.

    Raises `JobError` of `size_asked`, `budget_too_large` where too few have a score, and `budget_too_small` where what
    sources are promised does not fit.
    """
    size = size_asked(data, rows, params)
    known = np.flatnonzero(~np.isnan(scores))
    order = known[np.lexsort((data.key[rows[known]], -scores[known]))]
    taken = size.of(data, rows[order])
    if int(taken.sum()) < size.amount and len(known) < len(rows):
        raise JobError(
            "budget_too_large",
            f"{size.amount:,} {size.unit} are asked for; the {len(known):,} documents with a score of {len(rows):,} "
            f"candidates have {int(taken.sum()):,}.",
            hint="Ask for less.",
            pointer=f"/params/{params.form}",
        )
    if params.group_floor:
        order, first, promised = _with_floors(data.source[rows], order, params.group_floor)
        taken = size.of(data, rows[order])
        _check_floors(int(taken[:first].sum()), first, promised, size, params)
    kept = filled(order, taken, size.amount)
    if not len(kept):  # the shortest candidates may be those without a score
        raise JobError(
            "budget_too_small",
            f"None of the {len(known):,} documents with a score fits into {size.amount:,} {size.unit}.",
            hint="Ask for more.",
            pointer=f"/params/{params.form}",
        )
    if params.group_floor:  # back to best first
        kept = kept[np.lexsort((data.key[rows[kept]], -scores[kept]))]
    return rows[kept]


def _check_floors(taken: int, found: int, promised: int, size: Size, params: SelectParams) -> None:
    """Refuse promises that are not kept: `taken` of the size, `found` documents of those `promised`."""
    if found == promised and taken <= size.amount:
        return
    short = found < promised
    raise JobError(
        "budget_too_small",
        f"group_floor {params.group_floor:g} promises {promised:,} documents, of which only {found:,} have a score."
        if short
        else f"group_floor {params.group_floor:g} promises {taken:,} {size.unit}; {size.amount:,} are asked for.",
        hint="Lower group_floor." if short else "Lower group_floor, or ask for as much as it promises.",
        pointer="/params/group_floor",
    )


def _with_floors(source: np.ndarray, order: np.ndarray, floor: float) -> tuple[np.ndarray, int, int]:
    """Candidates best first, but before all others the best of each source up to its floor, a share of all candidates
    (m,) of that `source`; how many of these there are, and how many there should be."""
    names, own = np.unique(source, return_inverse=True)
    promised = np.ceil(floor * np.bincount(own) - 1e-9).astype(np.int64)
    mine = own[order]
    by_source = np.argsort(mine, kind="stable")
    starts = np.searchsorted(mine[by_source], np.arange(len(names)))
    place = np.empty(len(order), np.int64)  # of each candidate among those of its source
    place[by_source] = np.arange(len(order)) - starts[mine[by_source]]
    first = place < promised[mine]
    return np.concatenate([order[first], order[~first]]), int(first.sum()), int(promised.sum())


def deliver(
    data: Corpus,
    params: SelectParams,
    picked: np.ndarray,
    scores: Mapping[str, np.ndarray],
    rows: np.ndarray,
    origin: Origin,
    weights: np.ndarray | None = None,
    warnings: Sequence[str] = (),
    facts: Mapping[str, Any] | None = None,
) -> TextSummary:
    """The summary of the documents `picked`, best first or sorted, of the candidates `rows` (sorted).

    `scores`: by name, float32 (aligned with `rows`), of ALL candidates, the one that was selected by first. `weights`:
    float32, aligned with `picked`, what each stands for. `facts`: JSON numbers that belong into the report.
    """
    if params.keep_order:
        order = np.argsort(picked, kind="stable")
        picked, weights = picked[order], None if weights is None else weights[order]
    return TextSummary(
        corpus=data,
        taken=picked,
        rows=picked,
        weights=np.ones(len(picked), np.float32) if weights is None else np.asarray(weights, np.float32),
        candidates=rows,
        scores={name: np.asarray(values, np.float32) for name, values in scores.items()},
        facts=dict(facts or {}),
        origin=origin,
        warnings=tuple(warnings),
    )
