"""Hostile files, made when they are needed: small as uploaded, large or treacherous when opened."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.parquet

CSV = b"user,item\n" + b"".join(b"u%d,i%d\n" % (n % 50, n % 37) for n in range(400))


def parquet(columns: dict[str, object], **options: object) -> bytes:
    """A Parquet file of these columns."""
    out = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), out, **options)
    return out.getvalue()


def npy(descr: str, shape: tuple[int, ...], data: bytes = b"") -> bytes:
    """An npy file whose header says what it is told to say."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": descr, "fortran_order": False, "shape": shape})
    return out.getvalue() + data


def archive(members: Iterable[tuple[str | zipfile.ZipInfo, bytes]]) -> bytes:
    """A zip of these members, compressed."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as made:
        for name, data in members:
            made.writestr(name, data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def zeros(count: int) -> bytes:
    """A gzip of that many zero bytes, made a megabyte at a time."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9) as packed:
        for _ in range(count // 1_000_000):
            packed.write(bytes(1_000_000))
    return out.getvalue()
