from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.ingest.tables import read, rows, save_csr, write_all
from worker.contract.errors import JobError
from worker.ingest.limits import Limits

NAMES = ("ratings.csv", "u.data", "ratings.csv.gz", "ratings.zip", "ml.inter", "reviews.jsonl", "numbers.parquet",
         "text.parquet", "numbers.feather", "text.arrows", "arrays.npz", "text.npz", "csr.npz")  # fmt: skip


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    kind = rng.integers(4)
    if kind == 0:
        return bytes(changed[: rng.integers(len(changed))])
    at = int(rng.integers(len(changed)))
    if kind == 1:
        changed[at : at + 8] = rng.bytes(8)
    elif kind == 2:
        for place in rng.integers(0, len(changed), 20):
            changed[place] ^= int(rng.integers(1, 256))
    else:
        changed[at:at] = changed[:at][-50:]
    return bytes(changed)


@pytest.mark.parametrize("name", NAMES)
def test_read_when_bytes_are_damaged_then_rows_or_a_job_error_and_nothing_else(tmp_path: Path, name: str) -> None:
    """Whatever bytes arrive, the user gets a table or a sentence about the file, never a traceback."""
    files = write_all(rows(8, 10), tmp_path)
    save_csr(rows(8, 10), tmp_path / "csr.npz")
    data = (files | {"csr.npz": tmp_path / "csr.npz"})[name].read_bytes()
    rng = np.random.default_rng(0)
    path = tmp_path / "mutated"
    refused = 0
    for _ in range(60):
        path.write_bytes(mutated(data, rng))
        try:
            read(path, Limits(decoded_bytes=50_000_000))
        except JobError:
            refused += 1
    assert refused
