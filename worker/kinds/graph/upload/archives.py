"""Whole arrays out of npz archives and npy files, counted against the limits while they are read."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from worker.contract.errors import JobError
from worker.ingest.formats.npz import open_array
from worker.ingest.limits import Meter
from worker.ingest.sources import Source

_PIECE = 1 << 22  # elements between two reports of progress


def names_in(archive: zipfile.ZipFile) -> list[str]:
    """The arrays of an npz."""
    return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def whole(archive: zipfile.ZipFile, name: str, meter: Meter) -> np.ndarray:
    """One array, in its shape. Raises `JobError` for objects, damage, and what is above the limits."""
    opened = open_array(archive, name, meter, column_major=True)
    total = math.prod(opened.shape)
    found = np.empty(total, opened.dtype.newbyteorder("="))
    for start in range(0, total, _PIECE):
        count = min(_PIECE, total - start)
        found[start : start + count] = opened.take(count)
        meter.tick()
    return found.reshape(opened.shape, order="F" if opened.column_major else "C")


def npy(source: Source, meter: Meter) -> np.ndarray:
    """The array of an npy file, by way of an archive in memory, so that one reader does all checks."""
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w") as archive,
        source.open(meter) as stream,
        archive.open("array.npy", "w", force_zip64=True) as member,
    ):
        while chunk := stream.read(1 << 20):
            member.write(chunk)
            meter.tick()
    with zipfile.ZipFile(packed) as archive:
        return whole(archive, "array", Meter(meter.limits))


def csr(archive: zipfile.ZipFile, prefix: str, meter: Meter, what: str) -> sparse.csr_array:
    """The CSR matrix of `<prefix>data`, `<prefix>indices`, `<prefix>indptr` and `<prefix>shape`, checked."""
    data, indices, indptr, shape = (
        whole(archive, f"{prefix}{part}", meter) for part in ("data", "indices", "indptr", "shape")
    )
    return checked_csr(data, indices, indptr, shape, what)


def checked_csr(
    data: np.ndarray, indices: np.ndarray, indptr: np.ndarray, shape: np.ndarray | Sequence[int], what: str
) -> sparse.csr_array:
    """A CSR matrix whose parts fit together; raises `JobError` `invalid_input` where they do not."""
    size = np.asarray(shape).ravel()
    whole_numbers = all(part.dtype.kind in "iu" for part in (indices, indptr, size))
    sound = (
        whole_numbers and data.dtype.kind in "iufb" and len(size) == 2 and data.ndim == indices.ndim == indptr.ndim == 1
    )
    if sound:
        rows, columns = int(size[0]), int(size[1])
        sound = (
            rows >= 0
            and columns >= 0
            and len(indptr) == rows + 1
            and len(data) == len(indices)
            and int(indptr[0]) == 0
            and int(indptr[-1]) == len(data)
            and bool((np.diff(indptr.astype(np.int64)) >= 0).all())
            and (not len(indices) or (int(indices.min()) >= 0 and int(indices.max()) < columns))
        )
    if not sound:
        raise JobError(
            "invalid_input",
            f"The parts of the sparse matrix of {what} do not fit together.",
            hint="Save data, indices, indptr and shape of one `scipy.sparse` CSR matrix: `matrix.tocsr()`.",
            pointer="/files",
        )
    return sparse.csr_array((data, indices, indptr), shape=(int(size[0]), int(size[1])))


def coo_edges(matrix: sparse.csr_array) -> tuple[np.ndarray, np.ndarray]:
    """The entries of an adjacency matrix as edges (2, E), and their values."""
    entries = matrix.tocoo()
    kept = entries.data != 0
    return np.stack([entries.row[kept], entries.col[kept]]).astype(np.int64), entries.data[kept]
