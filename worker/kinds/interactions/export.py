"""The delivered forms of a learned summary: soft, 8-bit, 4-bit and hard rows.

What is delivered is what is measured: the codes of a quantised form are a function of its decoded values, so
a form survives writing and reading bit for bit. A quantised row r is `codes * scale_r` with scale_r the row's
largest value over the largest code, rounded down to 16 significant bits; then largest code times scale is
exact in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from worker.kinds.interactions.summary import InteractionsSummary
from worker.contract.context import Context

Rows = sparse.csr_array
LEVELS = {"soft8": 255, "soft4": 15}
_SCALE_BITS = 16


@dataclass(frozen=True)
class Delivery:
    """Which forms are wanted: `export` soft|hard|both, `quantize` none|8|4 for the soft one, values below
    `soft_eps` dropped from the float form; `hard_first`: the hard rows are the primary form."""

    export: str = "both"
    quantize: str = "8"
    soft_eps: float = 0.01
    hard_first: bool = False


def sparse_soft(values: np.ndarray, eps: float) -> Rows:
    """Rows (n, I) float32 without the entries below `eps`."""
    return Rows(np.where(values >= eps, values, 0).astype(np.float32))


def scales(rows: Rows, levels: int) -> np.ndarray:
    """Scale (n,) float32 of each row: its maximum over `levels`, rounded down to 16 significant bits."""
    largest = np.zeros(rows.shape[0], dtype=np.float64)
    filled = np.flatnonzero(np.diff(rows.indptr))
    if len(filled):
        largest[filled] = np.maximum.reduceat(rows.data, rows.indptr[filled])
    mantissa, exponent = np.frexp(largest / levels)
    return np.ldexp(np.floor(mantissa * 2**_SCALE_BITS) / 2**_SCALE_BITS, exponent).astype(np.float32)


def codes(rows: Rows, levels: int) -> tuple[Rows, np.ndarray]:
    """Integer codes (n, I) uint8 in 1..levels without zeros, and the scale (n,) of each row."""
    scale = scales(rows, levels)
    per_entry = np.repeat(scale, np.diff(rows.indptr))
    rounded = np.rint(rows.data / np.where(per_entry > 0, per_entry, 1)).clip(0, levels).astype(np.uint8)
    coded = Rows((rounded, rows.indices.copy(), rows.indptr.copy()), shape=rows.shape)
    coded.eliminate_zeros()
    return coded, scale


def decode(coded: Rows, scale: np.ndarray) -> Rows:
    """Values (n, I) float32 of codes (n, I) uint8 and scales (n,)."""
    per_entry = np.repeat(scale.astype(np.float32), np.diff(coded.indptr))
    return Rows((coded.data.astype(np.float32) * per_entry, coded.indices, coded.indptr), shape=coded.shape)


def quantised(values: np.ndarray, form: str) -> Rows:
    """The decoded values (n, I) of `soft8` or `soft4` rows."""
    return decode(*codes(Rows(values.astype(np.float32)), LEVELS[form]))


def hard_rows(values: np.ndarray, per_row: np.ndarray) -> Rows:
    """0/1 rows (n, I) float32 with the per_row[r] largest entries of row r; ties go to the lower item."""
    order = np.argsort(-values, axis=1, kind="stable")
    kept = np.arange(values.shape[1])[None, :] < per_row[:, None]
    owner = np.repeat(np.arange(len(values)), kept.sum(axis=1))
    items = order[kept]
    return sorted_rows(Rows((np.ones(len(items), np.float32), (owner, items)), shape=values.shape))


def sorted_rows(rows: Rows) -> Rows:
    """The same rows with items in ascending order, float32."""
    rows = Rows(rows, dtype=np.float32)
    rows.sort_indices()
    return rows


def size_bytes(rows: Rows, form: str) -> int:
    """Bytes of a form as arrays: uint16 items (uint32 past 65,536) and float32, uint8, 4-bit or no values.

    A quantised form counts as a dense table of codes where that is smaller. Row pointers take 4 bytes, scales
    4.
    """
    n, items = rows.shape
    index = 2 if items <= 1 << 16 else 4
    pointers = 4 * (n + 1)
    if form in LEVELS:
        half = 2 if form == "soft4" else 1
        return 4 * n + min(n * -(-items // half), rows.nnz * (index + 1) + pointers)
    return rows.nnz * (index + (4 if form == "soft" else 0)) + pointers


def widen(rows: Rows, columns: np.ndarray | None, items: int) -> Rows:
    """Rows over some `columns` as rows over all `items`."""
    if columns is None:
        return sorted_rows(rows)
    return sorted_rows(Rows((rows.data, columns[rows.indices], rows.indptr), shape=(rows.shape[0], items)))


def deliver(
    values: np.ndarray,
    per_row: np.ndarray,
    wanted: Delivery,
    *,
    item_ids: np.ndarray,
    columns: np.ndarray | None,
    choose_ridge: Callable[[np.ndarray], float],
    settings: dict[str, Any],
    ctx: Context,
) -> InteractionsSummary:
    """All wanted forms of learned values (n, columns); every form's ridge is chosen on validation users.

    The primary form is the quantised one (or the float one, or the hard one when that was trained or alone
    asked for); the others are delivered and judged beside it.
    """
    hard = hard_rows(values, per_row)
    made: dict[str, Rows] = {}
    if wanted.export != "hard":
        if wanted.quantize != "none":
            made[f"soft{wanted.quantize}"] = quantised(values, f"soft{wanted.quantize}")
        made["soft"] = sparse_soft(values, wanted.soft_eps)
    if wanted.export != "soft" or wanted.hard_first:
        made["hard"] = hard
    primary = "hard" if wanted.hard_first else next(iter(made))
    ridges = {form: choose_ridge(rows.toarray()) for form, rows in made.items()}
    full = {form: widen(rows, columns, len(item_ids)) for form, rows in made.items()}
    soft_events, kept = float(values.sum()), int((values >= wanted.soft_eps).sum())
    dropped = 1 - float(made["soft"].sum()) / max(soft_events, 1e-9) if "soft" in made else 0.0
    if dropped > 0.05:
        ctx.warn(f"Dropping soft values below {wanted.soft_eps:g} removed {dropped:.0%} of the soft events.")
    return InteractionsSummary(
        rows=full[primary],
        hard=widen(hard, columns, len(item_ids)),
        item_ids=item_ids,
        form=primary,
        forms={form: rows for form, rows in full.items() if form != primary},
        settings=settings
        | {
            "lambda": ridges[primary],
            "lambdas": ridges,
            "soft_events": round(soft_events, 3),
            "non_zeros": {"soft_eps": kept} | {form: int(rows.nnz) for form, rows in full.items()},
            "bytes": {form: size_bytes(rows, form) for form, rows in full.items()},
        },
        real_rows=False,
        warnings=tuple(ctx.warnings),
    )
