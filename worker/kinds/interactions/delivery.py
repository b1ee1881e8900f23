"""From learned rows to a summary: all wanted forms, each with the ridge that is best for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worker.contract.context import Context
from worker.contract.product import Origin
from worker.kinds.interactions.forms import Rows, hard_rows, quantised, sparse_soft, widen
from worker.kinds.interactions.summary import InteractionsSummary


@dataclass(frozen=True)
class Delivery:
    """Which forms are wanted: `export` soft|hard|both|ranked, `quantize` none|8|4 for the soft one, values below
    `soft_eps` dropped from the float form; `hard_first`: the hard rows are the primary form."""

    export: str = "both"
    quantize: str = "8"
    soft_eps: float = 0.01
    hard_first: bool = False


def deliver(
    values: np.ndarray,
    per_row: np.ndarray,
    wanted: Delivery,
    *,
    item_ids: np.ndarray,
    columns: np.ndarray | None,
    choose_ridge: Callable[[np.ndarray], float],
    origin: Origin,
    ctx: Context,
) -> InteractionsSummary:
    """All wanted forms of learned values (n, columns); every form's ridge is chosen on validation users.

    The primary form is the quantised one (or the float one, or the hard one when that was trained or alone
    asked for); the others are delivered and judged beside it.
    """
    hard = hard_rows(values, per_row)
    made: dict[str, Rows] = {}
    if wanted.export == "ranked":
        made["ranked"] = Rows(values)
    elif wanted.export != "hard":
        if wanted.quantize != "none":
            made[f"soft{wanted.quantize}"] = quantised(values, f"soft{wanted.quantize}")
        made["soft"] = sparse_soft(values, wanted.soft_eps)
    if wanted.export in ("hard", "both") or wanted.hard_first:
        made["hard"] = hard
    primary = "hard" if wanted.hard_first else next(iter(made))
    ridges = {form: choose_ridge(rows.toarray()) for form, rows in made.items()}
    full = {form: widen(rows, columns, len(item_ids)) for form, rows in made.items()}
    soft_events = float(values.sum())
    dropped = 1 - float(made["soft"].sum()) / max(soft_events, 1e-9) if "soft" in made else 0.0
    if dropped > 0.05:
        ctx.warn(f"Dropping soft values below {wanted.soft_eps:g} removed {dropped:.0%} of the soft events.")
    return InteractionsSummary(
        rows=full[primary],
        hard=widen(hard, columns, len(item_ids)),
        item_ids=item_ids,
        form=primary,
        forms={form: rows for form, rows in full.items() if form != primary},
        origin=origin,
        ridges=ridges,
        warnings=tuple(ctx.warnings),
    )
