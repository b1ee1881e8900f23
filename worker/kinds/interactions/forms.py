"""The forms of a summary's rows: soft, 8-bit, 4-bit and hard, in memory and as the arrays of a file.

What is delivered is what is measured: the codes of a quantised form are a function of its decoded values, so
a form survives writing and reading bit for bit. A quantised row r is `codes * scale_r` with scale_r the row's
largest value over the largest code, rounded down to 16 significant bits; then largest code times scale is
exact in float32.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy import sparse

from worker.numerics.npz import npz_bytes

Rows = sparse.csr_array
LABELS = {
    "soft": "soft rows",
    "soft8": "soft rows, 8 bit",
    "soft4": "soft rows, 4 bit",
    "hard": "hard rows",
}
ENCODINGS = {
    "hard": "npz: CSR of items",
    "soft": "npz: CSR of items and float32 weights",
    "soft8": "npz: 8-bit codes and a scale per row",
    "soft4": "npz: 4-bit codes and a scale per row",
}
LEVELS = {"soft8": 255, "soft4": 15}
_SCALE_BITS = 16


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


def widen(rows: Rows, columns: np.ndarray | None, items: int) -> Rows:
    """Rows over some `columns` as rows over all `items`."""
    if columns is None:
        return sorted_rows(rows)
    return sorted_rows(Rows((rows.data, columns[rows.indices], rows.indptr), shape=(rows.shape[0], items)))


def arrays(rows: Rows, form: str) -> dict[str, np.ndarray]:
    """The arrays of a form: CSR, for soft ones with weights and a scale per row, or a dense table where smaller.

    `bits` 4 packs two codes a byte, the first in the high half. Codes are recomputed from the decoded values. Indices
    are uint16, from 65,537 items on uint32.
    """
    rows = sorted_rows(rows)
    if form == "hard":
        return _csr(rows)
    scale = np.ones(rows.shape[0], np.float32)
    if form in LEVELS:
        rows, scale = codes(rows, LEVELS[form])
        bits = 4 if form == "soft4" else 8
        index = 2 if rows.shape[1] <= 1 << 16 else 4
        if rows.shape[0] * rows.shape[1] * bits / 8 <= rows.nnz * (1 + index):
            table = rows.toarray()
            if bits == 4:
                table = np.pad(table, ((0, 0), (0, table.shape[1] % 2)))
                table = (table[:, ::2] << 4) | table[:, 1::2]
            return {"codes": table, "scale": scale, "bits": np.array(bits, np.int64)} | _shape(rows)
    return {"data": rows.data, "scale": scale} | _csr(rows)


def _csr(rows: Rows) -> dict[str, np.ndarray]:
    indices = rows.indices.astype(np.uint16 if rows.shape[1] <= 1 << 16 else np.uint32)
    return {"indices": indices, "indptr": rows.indptr.astype(np.int64)} | _shape(rows)


def _shape(rows: Rows) -> dict[str, np.ndarray]:
    return {"shape": np.array(rows.shape, np.int64)}


def read(file: Path) -> Rows:
    """The decoded rows (n, I) float32 of a form."""
    with np.load(file, allow_pickle=False) as stored:
        shape = tuple(int(size) for size in stored["shape"])
        if "codes" in stored:
            table = stored["codes"]
            if int(stored["bits"]) == 4:
                table = np.stack([table >> 4, table & 15], axis=2).reshape(len(table), -1)[:, : shape[1]]
            return decode(Rows(table), stored["scale"])
        indices, indptr = stored["indices"].astype(np.int32), stored["indptr"].astype(np.int32)
        if "data" not in stored:
            return Rows((np.ones(len(indices), np.float32), indices, indptr), shape=shape)
        return decode(Rows((stored["data"], indices, indptr), shape=shape), stored["scale"])


def delivered_bytes(rows: Rows, form: str) -> int:
    """Bytes of the file in which a form is delivered; it is compressed."""
    return len(npz_bytes(arrays(rows, form)))
