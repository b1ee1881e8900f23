"""What all selections of real sequences share: how large they may be, and the summary they end in."""

from __future__ import annotations

import re

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from worker.contract.budget import Budget, resolve, resolve_bytes
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.product import Origin
from worker.kinds.sequences import sizes
from worker.kinds.sequences.dataset import Sequences
from worker.kinds.sequences.picks import Order
from worker.kinds.sequences.summary import SequenceSummary


class SelectParams(BaseModel):
    """Parameters of a selection of sequences."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget = Field("1%", description='Size: sequences (25), a share of them ("1%") or bytes ("150kB").')
    n_sequences: int | None = Field(None, ge=1, description="The budget as a number of sequences.")
    fraction: float | None = Field(None, gt=0, lt=1, description="The budget as a fraction of the sequences.")

    def size(self) -> int | str:
        """The one size that was given. Raises `JobError` where several were."""
        given = [name for name in ("n_sequences", "fraction") if getattr(self, name) is not None]
        if len(given) > 1 or (given and "budget" in self.model_fields_set):
            raise JobError(
                "invalid_input",
                "Several sizes were given.",
                hint="Give one of budget, n_sequences and fraction.",
                pointer=f"/params/{given[-1]}",
            )
        if self.n_sequences is not None:
            return self.n_sequences
        return self.budget if self.fraction is None else f"{100 * self.fraction:.6f}%"


def count_of(data: Sequences, size: int | str, order: np.ndarray | None = None) -> int:
    """A budget as a number of training sequences; of bytes as many of the first in `order` as fit."""
    train = data.training()
    rows, each = train.rows, sizes.row_bytes(train.rows, data.n_items, train.weights)
    if order is not None and isinstance(size, str) and re.search(r"B\s*$", size):
        allowed = resolve_bytes(size, total_bytes=int(each.sum()), lowest=int(each.min())) or 0
        return max(1, int(np.searchsorted(np.cumsum(each[order]), allowed, side="right")))
    return resolve(size, total_units=len(rows), bytes_per_unit=float(each.mean()))


def selected(data: Sequences, params: SelectParams, method: str, order: Order, ctx: Context) -> SequenceSummary:
    """The summary of the first sequences of an order that fit into the budget."""
    rows = data.training().rows
    if len(rows) < 2:
        raise JobError(
            "too_few_rows", "There are no two training sequences to choose from.", hint="Upload more sequences."
        )
    ctx.progress(0, 1, phase="select")
    size = params.size()
    most = min(len(rows), 4 * count_of(data, size) + 16)
    found = order(rows, data.n_items, most, ctx.seed, ctx)
    count = count_of(data, size, found)
    chosen = found[:count]
    ctx.progress(1, 1, phase="select")
    settings = params.model_dump(exclude_none=True) | {"seed": ctx.seed, "sequences": count}
    return SequenceSummary.of_rows(data, chosen, origin=Origin(method, settings=settings), warnings=tuple(ctx.warnings))
