"""How much of a corpus is kept: documents, tokens or bytes, in every customary form."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from worker.contract.budget import PATTERN, Budget, resolve, resolve_bytes
from worker.contract.errors import JobError
from worker.kinds.text.dataset import Corpus

FORMS = ("budget", "rate", "k", "token_budget")
DEFAULT_RATE = 0.1
_OR_NONE: dict[str, Any] = {
    "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": PATTERN}, {"type": "null"}]
}


class SizeParams(BaseModel):
    """The size of a selection: one of four forms, a tenth when none is given."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget | None = Field(
        None,
        description='Documents (500), a share ("20%", of what `unit` says) or bytes of text in UTF-8 ("150kB").',
        json_schema_extra=_OR_NONE,
    )
    rate: float | None = Field(
        None, gt=0, le=1, description="Share of the candidates, of what `unit` says; 0.1 when no size is given."
    )
    k: int | None = Field(None, ge=1, description="Number of documents.")
    token_budget: int | None = Field(None, ge=1, description="Number of tokens: words and punctuation marks.")
    unit: Literal["documents", "tokens"] = Field("documents", description="What a share is one of.")

    @model_validator(mode="after")
    def _one_size(self) -> SizeParams:
        given = [name for name in FORMS if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of {', '.join(given)}, not several")
        return self

    @property
    def is_sized(self) -> bool:
        """Whether a size was given."""
        return any(getattr(self, name) is not None for name in FORMS)

    @property
    def form(self) -> str:
        """The form in which a size was given."""
        return next((name for name in FORMS if getattr(self, name) is not None), "rate")


@dataclass(frozen=True)
class Size:
    """An amount of `documents`, `tokens` or `bytes`."""

    unit: Literal["documents", "tokens", "bytes"]
    amount: int

    def of(self, data: Corpus, rows: np.ndarray) -> np.ndarray:
        """What each of these documents takes of it, int64."""
        if self.unit == "documents":
            return np.ones(len(rows), np.int64)
        return (data.tokens if self.unit == "tokens" else data.bytes)[rows].astype(np.int64)


def size_asked(data: Corpus, rows: np.ndarray, params: SizeParams) -> Size:
    """What the parameters come to, of these candidates: shares are rounded half up.

    Raises `JobError` `budget_too_small` or `budget_too_large` that names the field and the bounds.
    """
    field = params.form
    if field == "k" and params.k is not None:
        return _within(data, rows, Size("documents", params.k), field, params.k)
    if field == "token_budget" and params.token_budget is not None:
        return _within(data, rows, Size("tokens", params.token_budget), field, params.token_budget)
    total = len(rows) if params.unit == "documents" else int(data.tokens[rows].sum(dtype=np.int64))
    if field == "rate":
        rate = DEFAULT_RATE if params.rate is None else params.rate
        amount = max(1, math.floor(Fraction(str(rate)) * total + Fraction(1, 2)))
        return _within(data, rows, Size(params.unit, amount), field, rate)
    assert params.budget is not None  # noqa: S101 - the form says so
    return _of_budget(data, rows, params.budget, params.unit, total)


def _of_budget(
    data: Corpus, rows: np.ndarray, budget: int | str, unit: Literal["documents", "tokens"], total: int
) -> Size:
    share = isinstance(budget, str) and budget.rstrip().endswith("%")
    if isinstance(budget, str) and re.search(r"B\s*$", budget):
        weights = data.bytes[rows]
        amount = resolve_bytes(budget, total_bytes=int(weights.sum(dtype=np.int64)), lowest=max(1, int(weights.min())))
        assert amount is not None  # noqa: S101 - it ends with B
        return Size("bytes", amount)
    if share and unit == "tokens":
        amount = resolve(budget, total_units=total, bytes_per_unit=1)
        return _within(data, rows, Size("tokens", amount), "budget", budget)
    return Size("documents", resolve(budget, total_units=len(rows), bytes_per_unit=1))


def _within(data: Corpus, rows: np.ndarray, size: Size, field: str, given: object) -> Size:
    """The size, if it is neither below the shortest candidate nor above all of them."""
    taken = size.of(data, rows)
    least, most = int(taken.min()), int(taken.sum())
    if least <= size.amount <= most:
        return size
    small = size.amount < least
    bound = f"the shortest candidate has {least:,}" if small else f"there are {most:,} among the candidates"
    raise JobError(
        "budget_too_small" if small else "budget_too_large",
        f"{field} {given} comes to {size.amount:,} {size.unit}; {bound}.",
        hint=f"Ask for between {least:,} and {most:,} {size.unit}; candidates are the training documents that pass "
        "min_chars and dedup.",
        pointer=f"/params/{field}",
    )


def filled(order: np.ndarray, taken: np.ndarray, amount: int) -> np.ndarray:
    """Of candidates `order`, best first, of which each takes `taken` (aligned with `order`), those that fit into the
    amount one after the other; one too large for what is left is passed over."""
    found: list[np.ndarray] = []
    left = amount
    while len(order):
        fits = taken <= left
        order, taken = order[fits], taken[fits]
        ends = np.cumsum(taken)
        count = int(np.searchsorted(ends, left, "right"))
        found.append(order[:count])
        left -= int(ends[count - 1]) if count else 0
        order, taken = order[count:], taken[count:]
    return np.concatenate(found) if found else order
