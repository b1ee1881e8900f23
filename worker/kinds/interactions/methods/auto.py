"""The method a user gets who names none: what the evidence favours for data of this shape and for the size asked for.

Short rows repeat, and real histories with weights then keep most per byte. Long rows hardly do: learned rows keep most
per byte there, ranked ones, which fill exactly the bytes asked for. Who asks for rows instead of bytes gets dense
learned rows, whose number says little of their bytes; where they come to more than the source the reason says so. A
large part of the bytes needs no learning: random users keep nearly all. Which is better where stands in
docs/per_byte.md, made by benchmarks/per_byte.py.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import BaseModel, ConfigDict, Field

from worker.contract.budget import Budget, fills_bytes, resolve_bytes
from worker.contract.context import Context
from worker.contract.method import method
from worker.kinds.interactions.dataset import Interactions
from worker.kinds.interactions.forms import arrays, bytes_of_rows, plain_bytes
from worker.kinds.interactions.methods.coreset import CoresetParams, coreset
from worker.kinds.interactions.methods.distill_cf import DistillCFParams, distill_cf
from worker.kinds.interactions.methods.random_users import RandomUsersParams, random_users
from worker.kinds.interactions.summary import InteractionsSummary

SHORT_ROW = 10.0  # mean training events of a user
LARGE_SHARE = 0.3  # of the bytes


class AutoParams(BaseModel):
    """Parameters of `auto`."""

    model_config = ConfigDict(extra="forbid")

    budget: Budget = Field(
        "2%", **fills_bytes('A share of the bytes of the source ("2%"), bytes ("150kB"), or rows (500).')
    )


def mean_row(data: Interactions) -> float:
    """Mean training events of the users who have any, weighted rows counted as the users they stand for."""
    rows = data.training()
    return float(rows.counts.sum() / max(1.0, rows.mass.sum())) if rows.matrix.nnz else 0.0


@method(kind="interactions", task="distil", name="auto", version=4, device="any", memory_mb=3072)
def auto(data: Interactions, params: AutoParams, ctx: Context) -> InteractionsSummary:
    """Weighted real histories where rows are short, learned rows otherwise; the report says why."""
    mean, total = mean_row(data), bytes_of_rows(data.training())
    size = resolve_bytes(params.budget, total_bytes=total)
    said = f"Users have {mean:.1f} training events on average"
    if mean < SHORT_ROW:
        summary = coreset(data, CoresetParams(budget=params.budget), ctx)
        reason = f"{said}: below {SHORT_ROW:g}, weighted real histories keep most per byte, so `auto` chose coreset."
    elif size is None:
        summary = distill_cf(data, DistillCFParams(budget=params.budget), ctx)
        reason = (
            f"{said}, and rows were asked for: with {SHORT_ROW:g} events or more, learned rows keep most for their "
            f"number, so `auto` chose distill-cf.{_larger(summary, total)}"
        )
    elif size > LARGE_SHARE * total:
        summary = random_users(data, RandomUsersParams(budget=f"{size}B"), ctx)
        reason = (
            f"{said}, and {size / total:.0%} of the bytes were asked for: above {LARGE_SHARE:.0%}, whole users at "
            "random keep nearly all, so `auto` chose random-users."
        )
    else:
        summary = distill_cf(data, DistillCFParams(budget=params.budget, export="ranked"), ctx)
        reason = (
            f"{said}: with {SHORT_ROW:g} or more, learned rows that list items in falling order keep most per byte, so "
            "`auto` chose distill-cf with ranked rows."
        )
    return replace(summary, origin=replace(summary.origin, reason=reason))


def _larger(summary: InteractionsSummary, total: int) -> str:
    """A sentence where a delivered form is not smaller than the source."""
    sizes = {form: plain_bytes(arrays(rows, form)) for form, rows in summary.delivered().items()}
    large = [form for form, size in sizes.items() if size >= total]
    if not large:
        return ""
    return (
        f" That many rows take more bytes than the source ({', '.join(large)}): ask for bytes or a share of them to "
        "get a smaller summary."
    )
