"""The forms of a summary's rows: soft, 8-bit, 4-bit, ranked, hard and weighted, in memory and as the arrays of a file.

What is delivered is what is measured: the codes of a quantised form are a function of its decoded values, so
a form survives writing and reading bit for bit. A quantised row r is `codes * scale_r` with scale_r the row's
largest value over the largest code, rounded down to 16 significant bits; then largest code times scale is
exact in float32.

A ranked row lists its items in falling order of value; one curve, shared by all rows, says the value of each place, so
no value is stored by entry. Whoever sorts such a row's items loses its values.

A weighted row is a 0/1 row that stands for w users; w is one byte on a log scale over four decades below the
largest.
"""

from __future__ import annotations

import lzma
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy import sparse

from worker.kinds.interactions.distinct import distinct
from worker.kinds.interactions.rows import ItemGram, UserRows
from worker.numerics.npz import npz_bytes

Rows = sparse.csr_array
LABELS = {
    "soft": "soft rows",
    "soft8": "soft rows, 8 bit",
    "soft4": "soft rows, 4 bit",
    "ranked": "ranked rows",
    "hard": "hard rows",
    "weighted": "weighted rows",
}
ENCODINGS = {
    "hard": "CSR of items",
    "weighted": "CSR of items, a byte per row",
    "ranked": "items in falling order, one curve",
    "gram": "8 bytes per item, 3 per pair",
    "soft": "CSR of items, 4 bytes per entry",
    "soft8": "8-bit codes, 4 bytes per row",
    "soft4": "4-bit codes, 4 bytes per row",
}
LEVELS = {"soft8": 255, "soft4": 15}
_SCALE_BITS = 16
_DECADES = 4
_SQUEEZED = 3_000_000  # entries up to which a second compression is tried; it takes a second for 10^6
_ABOUT = ("bits", "shape")  # say how to read the others, and are no data


def weight_codes(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes (n,) uint8 of weights (n,) > 0 and the largest weight () float32; lighter ones than 1e-4 of it go to 0."""
    largest = np.float32(weights.max(initial=np.float32(1e-30)))
    decades = np.log10(weights.astype(np.float64) / largest) / _DECADES
    return np.rint(255 * (1 + decades)).clip(0, 255).astype(np.uint8), largest


def weights_of(code: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Weights (n,) float32 of their codes: largest * 10^(4 (code / 255 - 1))."""
    return (np.float64(largest) * 10.0 ** (_DECADES * (code / 255 - 1))).astype(np.float32)


def coded_weights(weights: np.ndarray) -> np.ndarray:
    """The weights (n,) float32 that are delivered for weights (n,): within 1.9 % where above 1e-4 of the largest."""
    return weights_of(*weight_codes(weights))


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


def arrays(delivered: UserRows | ItemGram, form: str) -> dict[str, np.ndarray]:
    """The arrays of a form: CSR, for soft ones with values and a scale per row, or a dense table where smaller.

    `bits` 4 packs two codes a byte, the first in the high half. Codes are recomputed from the decoded values. Indices
    are uint16, from 65,537 items on uint32.
    """
    if isinstance(delivered, ItemGram):
        return _gram(delivered)
    rows = sorted_rows(delivered.matrix)
    if form == "weighted":
        code, largest = weight_codes(delivered.mass)
        return {"weight": code, "weight_scale": largest} | _csr(rows)
    if form == "hard":
        return _csr(rows)
    if form == "ranked":
        return _ranked(rows)
    if form == "soft":
        return {"data": rows.data} | _csr(rows)
    return _quantised(rows, form)


def _ranked(rows: Rows) -> dict[str, np.ndarray]:
    """Items by falling value, equal ones by item, and the curve; ValueError where rows do not share one."""
    owner = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    order = np.lexsort((rows.indices, -rows.data, owner))
    falling = Rows((rows.data[order], rows.indices[order], rows.indptr), shape=rows.shape)
    longest = int(np.argmax(np.diff(rows.indptr)))
    stored = falling.data[rows.indptr[longest] : rows.indptr[longest + 1]].astype(np.float16)
    if not np.array_equal(on_curve(stored, rows.indptr), falling.data):
        raise ValueError("ranked rows share one curve of float16 values")
    return {"curve": stored} | _csr(falling)


def on_curve(curve: np.ndarray, indptr: np.ndarray) -> np.ndarray:
    """The value (entries,) float32 of every entry by its place in its row."""
    place = np.arange(indptr[-1]) - np.repeat(indptr[:-1], np.diff(indptr))
    return curve.astype(np.float32)[place]


def _gram(delivered: ItemGram) -> dict[str, np.ndarray]:
    """Items with their counts, and pairs: how many each item is the first of, the second one, a code of their count."""
    diagonal = delivered.matrix.diagonal()
    items = np.flatnonzero(diagonal)
    place = np.cumsum(diagonal > 0) - 1
    pairs = sparse.triu(delivered.matrix, 1, format="csr")
    code, largest = weight_codes(pairs.data)
    kind = f"u{index_bytes(len(diagonal))}"
    return {
        "items": items.astype(kind),
        "counts": diagonal[items].astype(np.float32),
        "pairs": np.diff(pairs.indptr)[items].astype(kind),
        "second": place[pairs.indices].astype(kind),
        "code": code,
        "code_scale": largest,
    }


def _quantised(rows: Rows, form: str) -> dict[str, np.ndarray]:
    rows, scale = codes(rows, LEVELS[form])
    bits = 4 if form == "soft4" else 8
    if rows.shape[0] * rows.shape[1] * bits / 8 > rows.nnz * (1 + index_bytes(rows.shape[1])):
        return {"data": rows.data, "scale": scale} | _csr(rows)
    table = rows.toarray()
    if bits == 4:
        table = np.pad(table, ((0, 0), (0, table.shape[1] % 2)))
        table = (table[:, ::2] << 4) | table[:, 1::2]
    return {"codes": table, "scale": scale, "bits": np.array(bits, np.int64)} | _shape(rows)


def index_bytes(items: int) -> int:
    """Bytes of an item's number."""
    return 2 if items <= 1 << 16 else 4


def _csr(rows: Rows) -> dict[str, np.ndarray]:
    indices = rows.indices.astype(f"u{index_bytes(rows.shape[1])}")
    return {"indices": indices, "indptr": rows.indptr.astype(np.uint32)} | _shape(rows)


def _shape(rows: Rows) -> dict[str, np.ndarray]:
    return {"shape": np.array(rows.shape, np.int64)}


def read(file: Path) -> UserRows:
    """The decoded rows (n, I) float32 of a form, with their weights where it has some."""
    with np.load(file, allow_pickle=False) as stored:
        shape = tuple(int(size) for size in stored["shape"])
        if "codes" in stored:
            table = stored["codes"]
            if int(stored["bits"]) == 4:
                table = np.stack([table >> 4, table & 15], axis=2).reshape(len(table), -1)[:, : shape[1]]
            return UserRows(decode(Rows(table), stored["scale"]))
        indices, indptr = stored["indices"].astype(np.int32), stored["indptr"].astype(np.int32)
        data = stored["data"] if "data" in stored else np.ones(len(indices), np.float32)
        if "curve" in stored:
            data = on_curve(stored["curve"], indptr)
        rows = Rows((data, indices, indptr), shape=shape)
        if "scale" in stored:
            rows = decode(rows, stored["scale"])
        if "curve" in stored:
            rows = sorted_rows(rows)
        if "weight" not in stored:
            return UserRows(rows)
        return UserRows(rows, weights_of(stored["weight"], stored["weight_scale"]))


def plain_bytes(stored: Mapping[str, np.ndarray]) -> int:
    """Bytes of the arrays of a form as they lie in memory: of 0/1 rows 2 an item, 4 a row and 4 at the end."""
    return sum(array.nbytes for name, array in stored.items() if name not in _ABOUT)


def bytes_of_rows(rows: UserRows) -> int:
    """Bytes of 0/1 rows, and of their weights where they have some."""
    return plain_bytes(arrays(rows, "hard" if rows.weights is None else "weighted"))


def file_bytes(stored: Mapping[str, np.ndarray]) -> int:
    """Bytes of the file in which the arrays are delivered; it is compressed."""
    return len(npz_bytes(stored))


def compressed_bytes(rows: UserRows | ItemGram, form: str) -> int:
    """The fewest bytes that we know for a form without loss: its file, or for 0/1 rows xz of the distinct ones.

    Those are in order of length and items, each with its count or code; which user had which is lost, as it is to any
    learner.
    """
    file = file_bytes(arrays(rows, form))
    if isinstance(rows, ItemGram) or form not in ("hard", "weighted") or rows.matrix.nnz > _SQUEEZED:
        return file
    matrix = sorted_rows(rows.matrix)
    first, pattern = distinct(matrix)
    starts, lengths = matrix.indptr[first], np.diff(matrix.indptr)[first]
    big = matrix.indices.astype(">u4")
    keys = [(length, big[start : start + length].tobytes()) for start, length in zip(starts, lengths, strict=True)]
    order = np.array(sorted(range(len(first)), key=keys.__getitem__), np.int64)
    merged, times = Rows(matrix[first[order]]), np.bincount(pattern, rows.mass, len(first))[order]
    gaps = np.diff(merged.indices, prepend=0)
    filled = merged.indptr[:-1][lengths[order] > 0]
    gaps[filled] = merged.indices[filled]
    counts = weight_codes(times)[0] if form == "weighted" else times.astype(np.uint32)
    parts = (lengths[order].astype(np.uint32), counts, gaps.astype(f"u{index_bytes(matrix.shape[1])}"))
    # All first bytes, then all second ones: most high bytes are 0.
    planes = b"".join(part.view(np.uint8).reshape(-1, part.itemsize).T.tobytes() for part in parts)
    return min(file, len(lzma.compress(planes, lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 6}])))
