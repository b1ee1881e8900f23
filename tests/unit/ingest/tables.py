"""One small table of interactions, written in every accepted format, and a way to read it back."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
import pytest
from scipy import sparse

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.ingest.limits import Limits
from worker.ingest.table import read_batches
from worker.ingest.upload import Upload
from worker.kinds.interactions.ingest import choose
from worker.kinds.interactions.options import IngestOptions
from worker.kinds.interactions.roles import SCHEMA

Row = tuple[int, int, float, int]


def rows(users: int = 30, items: int = 20, seed: int = 0) -> list[Row]:
    """Distinct (user, item, rating, timestamp) rows in random order; ids from 1, at least 4 events a user."""
    rng = np.random.default_rng(seed)
    found = []
    for user in range(1, users + 1):
        for item in rng.choice(items, rng.integers(4, items // 2 + 1), replace=False):
            found.append((user, int(item) + 1, float(rng.integers(1, 6)), 880_000_000 + int(rng.integers(10**6))))
    return [found[place] for place in rng.permutation(len(found))]


def csv_text(table: list[Row], delimiter: str = ",", header: str = "userId,movieId,rating,timestamp") -> str:
    lines = [header.replace(",", delimiter)] if header else []
    return "\n".join(lines + [delimiter.join((str(u), str(i), f"{r:g}", str(t))) for u, i, r, t in table]) + "\n"


def columns(table: list[Row]) -> dict[str, np.ndarray]:
    user, item, rating, timestamp = zip(*table, strict=True)
    return {
        "user": np.array(user),
        "item": np.array(item),
        "rating": np.array(rating),
        "timestamp": np.array(timestamp),
    }


def write_all(table: list[Row], folder: Path) -> dict[str, Path]:
    """The same rows as csv, tsv, dat, gz, zip, RecBole, JSON lines, Parquet, Arrow and npz."""
    text = csv_text(table)
    files = {
        "ratings.csv": text.encode(),
        "bom.csv": b"\xef\xbb\xbf" + text.encode(),
        "crlf.csv": text.replace("\n", "\r\n").encode(),
        "quoted.csv": ('"' + text.rstrip().replace(",", '","').replace("\n", '"\n"') + '"\n').encode(),
        "semicolon.csv": csv_text(table, ";").encode(),
        "utf16.csv": text.encode("utf-16"),
        "headerless.csv": csv_text(table, header="").encode(),
        "u.data": csv_text(table, "\t", header="").encode(),
        "blanks.txt": ("  " + csv_text(table, "   ", header="").replace("\n", " \n")).encode(),
        "ratings.dat": csv_text(table, "::", header="").encode(),
        "ratings.csv.gz": gzip.compress(text.encode()),
        "ml.inter": csv_text(table, "\t", "user_id:token,item_id:token,rating:float,timestamp:float").encode(),
        "reviews.jsonl": "".join(
            json.dumps({"reviewerID": str(u), "asin": str(i), "overall": r, "unixReviewTime": t, "helpful": [0, 1]})
            + "\n"
            for u, i, r, t in table
        ).encode(),
        "numbers.jsonl": "".join(
            json.dumps({"user": u, "item": i, "rating": r, "timestamp": t}) + "\n" for u, i, r, t in table
        ).encode(),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    with zipfile.ZipFile(folder / "ratings.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ml/ratings.csv", text)
        archive.writestr("ml/README.md", "about")
    arrays = columns(table)
    pyarrow.parquet.write_table(pa.table(arrays), folder / "numbers.parquet", row_group_size=50)
    as_text = arrays | {name: arrays[name].astype(str) for name in ("user", "item")}
    pyarrow.parquet.write_table(pa.table(as_text), folder / "text.parquet", row_group_size=70)
    pyarrow.feather.write_feather(pa.table(arrays), str(folder / "numbers.feather"), chunksize=50)
    write_stream(pa.table(as_text), folder / "text.arrows", compression="zstd")
    np.savez_compressed(folder / "arrays.npz", **arrays)
    np.savez(folder / "text.npz", **as_text)
    return {path.name: path for path in sorted(folder.iterdir())}


def write_stream(table: pa.Table, path: Path, compression: str | None = None) -> Path:
    """A table as a stream of Arrow."""
    options = pyarrow.ipc.IpcWriteOptions(compression=compression)
    with pyarrow.ipc.new_stream(str(path), table.schema, options=options) as writer:
        writer.write_table(table)
    return path


def save_csr(table: list[Row], path: Path) -> None:
    arrays = columns(table)
    matrix = sparse.coo_array((arrays["rating"], (arrays["user"], arrays["item"]))).tocsr()
    sparse.save_npz(path, matrix)


def read(paths: Path | list[Path], limits: Limits | None = None, **options: object) -> tuple[dict, dict[str, list]]:
    """Detection, and all rows as lists by role."""
    paths = [paths] if isinstance(paths, Path) else paths
    upload = Upload(paths, SCHEMA, Context(), limits or Limits())
    chosen = choose(upload, IngestOptions(**options))
    table = pa.Table.from_batches(list(read_batches(chosen.tables, upload.meter)))
    return chosen.detected, {name: table[name].to_pylist() for name in table.column_names}


def refusal(paths: Path | list[Path], code: str, limits: Limits | None = None, **options: object) -> JobError:
    """The `JobError` that reading ends with, after checking its code."""
    with pytest.raises(JobError) as caught:
        read(paths, limits, **options)
    assert caught.value.code == code, caught.value.detail
    return caught.value
