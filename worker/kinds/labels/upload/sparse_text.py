"""Rows of "index:value" in text, read in blocks of lines: matrices of the Extreme Classification Repository, with a
header "rows columns", and rows that begin with their labels, as in libsvm files: "3,17 5:0.25 9:1".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from worker.contract.errors import JobError
from worker.ingest.limits import Meter
from worker.ingest.native import Lines
from worker.ingest.sources import Source
from worker.kinds.labels.dataset import Csr, csr
from worker.kinds.labels.upload.found import MOST_LABELS, bad_line, binary

_BLOCK = 1 << 20
_CELLS = re.compile(rb"(?:\d{1,10}:[^\s:]{1,40}(?:\s+|$))*")
_LABELS = re.compile(rb"(?:\d{1,10}(?:,\d{1,10})*)?")
_HINT = 'Write each row as "index:value index:value", indices counted from 0.'


@dataclass(frozen=True)
class Rows:
    """`header`: the whole numbers of the first line, () without one. `values`: csr float32 (n, columns); `labels`: csr
    of ones (n, L), None where rows have none before them."""

    header: tuple[int, ...]
    values: Csr
    labels: Csr | None = None


def header_of(line: str) -> tuple[int, ...]:
    """The numbers of a header ("1000 20", "1000 20 7"), () for a line that is none."""
    words = line.split()
    return tuple(map(int, words)) if 2 <= len(words) <= 3 and all(re.fullmatch(r"\d{1,12}", w) for w in words) else ()


def read(source: Source, meter: Meter, *, labelled: bool) -> Rows:
    """All rows. `labelled`: each begins with its labels, separated by commas.

    Raises `JobError` for a line that is not of this form, an index outside what the header says, and another number
    of rows than it says.
    """
    header: tuple[int, ...] = ()
    number = 0
    counts: list[np.ndarray] = []
    indices: list[np.ndarray] = []
    values: list[np.ndarray] = []
    label_counts: list[np.ndarray] = []
    label_indices: list[np.ndarray] = []
    blank_end = False
    for lines in _blocks(source, meter):
        if number == 0 and (header := header_of(lines[0].decode("latin-1"))):
            lines, number = lines[1:], 1
            meter.promised(8 * header[0], source.name)
        if not header and not labelled:
            raise bad_line(source.name, 1, "is no header", 'Begin with the numbers of rows and of columns: "1000 983".')
        if not header and labelled:
            lines = [line for line in lines if line.strip()]
        blank_end = bool(lines) and not lines[-1].strip() if lines else blank_end
        if labelled:
            own, lines = _split(lines, number, source.name)
            found = _numbers([label for label in own if label], b",", number, source.name)
            label_counts.append(np.array([label.count(b",") + 1 if label else 0 for label in own], np.int64))
            label_indices.append(_whole(found))
        block_counts, block_indices, block_values = _cells(lines, number, source.name)
        counts.append(block_counts)
        indices.append(block_indices)
        values.append(block_values)
        number += len(lines)
        meter.rows_read(len(lines), source.name)
        meter.tick()
    per_row, flat = _joined(counts), _joined(indices)
    if header and len(per_row) == header[0] + 1 and blank_end:
        per_row = per_row[:-1]
        label_counts[-1:] = [label_counts[-1][:-1]] if label_counts else []
    if header and len(per_row) != header[0]:
        raise JobError(
            "invalid_input",
            f"The header of {source.name} says {header[0]:,} rows, but there are {len(per_row):,}.",
            hint="Upload the whole file, or correct its first line (rows columns).",
        )
    width = header[1] if header else int(flat.max(initial=-1)) + 1
    _in_range(flat, per_row, width, "index", source.name, bool(header))
    data = _joined(values).astype(np.float32)
    if not np.isfinite(data).all():
        row = int(np.searchsorted(np.cumsum(per_row), np.flatnonzero(~np.isfinite(data))[0], side="right"))
        raise bad_line(source.name, row + 1 + bool(header), "has a value that is not a finite number", _HINT)
    matrix = csr(_matrix(per_row, flat, data, width))
    matrix.eliminate_zeros()  # a value that is written and 0 is one that is not there
    if not labelled:
        return Rows(header, matrix)
    label_rows, label_flat = _joined(label_counts), _joined(label_indices)
    labels = header[2] if len(header) == 3 else int(label_flat.max(initial=-1)) + 1
    _in_range(label_flat, label_rows, labels, "label", source.name, bool(header))
    return Rows(header, matrix, binary(np.concatenate([[0], np.cumsum(label_rows)]), label_flat, labels))


def _blocks(source: Source, meter: Meter) -> Iterator[list[bytes]]:
    with source.open(meter) as stream:
        whole = Lines(stream, source.name)
        while block := whole.read(_BLOCK):
            lines = block.replace(b"\t", b" ").removeprefix(b"\xef\xbb\xbf").split(b"\n")
            yield lines[:-1] if not lines[-1] else lines


def _split(lines: list[bytes], first: int, name: str) -> tuple[list[bytes], list[bytes]]:
    """Labels, and the cells behind them, of every line; a line that begins with a cell has no labels."""
    labels: list[bytes] = []
    rest: list[bytes] = []
    for place, line in enumerate(lines):
        head, _, cells = line.rstrip().partition(b" ")
        if b":" in head:
            head, cells = b"", line
        if not _LABELS.fullmatch(head):
            raise bad_line(
                name, first + place + 1, f"begins with {head[:40].decode('latin-1')!r}, which is no list of labels",
                'Begin each row with the numbers of its labels, as in "3,17 5:0.25 9:1".',
            )  # fmt: skip
        labels.append(head)
        rest.append(cells.partition(b"#")[0])
    return labels, rest


def _cells(lines: list[bytes], first: int, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells of each line, and of all of them the indices and values."""
    text = b" ".join(line.strip() for line in lines)
    if not _CELLS.fullmatch(text.lstrip()):
        wrong = next((at for at, line in enumerate(lines) if not _CELLS.fullmatch(line.strip())), 0)
        raise bad_line(name, first + wrong + 1, "is not a row of index:value", _HINT)
    counts = np.array([line.count(b":") for line in lines], np.int64)
    found = _numbers([text.replace(b":", b" ")], b" ", first, name)
    return counts, _whole(found[0::2]), found[1::2]


def _numbers(parts: list[bytes], separator: bytes, first: int, name: str) -> np.ndarray:
    text = separator.join(parts)
    words = text.split() if separator == b" " else [word for word in text.split(separator) if word]
    if not words:
        return np.zeros(0)
    try:
        return np.array(words, np.bytes_).astype(np.float64)
    except ValueError as invalid:
        detail = f"{name} has a value that is no number in the lines from {first + 1:,}: {str(invalid)[:80]}."
        raise JobError("invalid_input", detail, hint=_HINT) from invalid


def _whole(numbers: np.ndarray) -> np.ndarray:
    return numbers.astype(np.int64)


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _in_range(flat: np.ndarray, per_row: np.ndarray, width: int, what: str, name: str, header: bool) -> None:
    wrong = np.flatnonzero(flat >= width)
    if len(wrong):
        row = int(np.searchsorted(np.cumsum(per_row), wrong[0], side="right"))
        raise bad_line(
            name, row + 1 + header, f"has the {what} {flat[wrong[0]]:,}, but the header says {width:,} of them from 0",
            "Count from 0, or correct the header.",
        )  # fmt: skip


def _matrix(per_row: np.ndarray, flat: np.ndarray, data: np.ndarray, width: int) -> Csr:
    indptr = np.concatenate([[0], np.cumsum(per_row)])
    if width > MOST_LABELS:
        raise JobError(
            "decoded_too_large", f"{width:,} columns are more than the {MOST_LABELS:,} served.", hint="Upload fewer."
        )
    return sparse.csr_matrix((data, flat, indptr), (len(per_row), width))
