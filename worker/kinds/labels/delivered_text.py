"""Documents as a user downloads them, and how many bytes that is: an object a line where there is text, rows of labels
and features in the form of the Extreme Classification Repository where there is none."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from worker.contract.context import Context
from worker.kinds.labels.dataset import Csr, LabelSet

ENCODINGS = {True: "JSON lines", False: "XC text"}


def encoding_of(documents: LabelSet) -> str:
    """The name of the encoding in which sizes are compared."""
    return ENCODINGS[documents.titles is not None or documents.bodies is not None]


def lines(documents: LabelSet) -> Iterator[bytes]:
    """Every document as a line, with its weight where weights differ from 1."""
    weighted = bool((documents.weights != 1).any())
    if encoding_of(documents) == ENCODINGS[True]:
        yield from _objects(documents, weighted)
    else:
        assert documents.features is not None  # noqa: S101 - without text there are features
        for row in range(len(documents)):
            weight = f" {documents.weights[row]:.6g}" if weighted else ""
            labels = ",".join(map(str, _own(documents.targets, row).tolist()))
            yield f"{labels}{weight} {_cells(documents.features, row)}\n".encode()


def _objects(documents: LabelSet, weighted: bool) -> Iterator[bytes]:
    titles = iter(documents.titles) if documents.titles is not None else None
    bodies = iter(documents.bodies) if documents.bodies is not None else None
    for row in range(len(documents)):
        record: dict[str, Any] = {}
        if titles is not None:
            record["title"] = next(titles)
        if bodies is not None:
            record["content"] = next(bodies)
        record["target_ind"] = _own(documents.targets, row).tolist()
        if weighted:
            record["weight"] = float(f"{documents.weights[row]:.6g}")
        if documents.features is not None:
            record["features"] = _cells(documents.features, row)
        yield json.dumps(record, ensure_ascii=False).encode() + b"\n"


def sizes(documents: LabelSet, ctx: Context | None = None) -> tuple[int, int]:
    """Bytes of all lines, and of the same after lossless compression (zlib); with `ctx` a stop is obeyed."""
    packer = zlib.compressobj(6)
    plain = packed = 0
    for number, line in enumerate(lines(documents)):
        if ctx is not None and number % 4096 == 0:
            ctx.progress(0, 1)
        plain += len(line)
        packed += len(packer.compress(line))
    return plain, packed + len(packer.flush())


def matrix_lines(matrix: Csr) -> Iterator[str]:
    """A sparse matrix in the form of the Extreme Classification Repository, header first."""
    yield f"{matrix.shape[0]} {matrix.shape[1]}\n"
    for row in range(matrix.shape[0]):
        yield _cells(matrix, row) + "\n"


def _own(matrix: Csr, row: int) -> np.ndarray:
    return matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]


def _cells(matrix: Csr, row: int) -> str:
    entries = slice(matrix.indptr[row], matrix.indptr[row + 1])
    pairs = zip(matrix.indices[entries].tolist(), matrix.data[entries].tolist(), strict=True)
    return " ".join(f"{index}:{value:.7g}" for index, value in pairs)
