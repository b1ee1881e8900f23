"""Whatever is done to an upload, it becomes a version that can be learned from, or is refused with a reason."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow.csv
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from tests.kinds.table.planted import customers_csv
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.table import dataset
from worker.kinds.table.ingest import ingest

PIECES = [b"", b",", b"\n", b'"', b"\0", b"\xff", b"?", b"NaN", b"inf", b"1e999", b"-", b"yes", b"\t", b";", b"0x1f"]


def _csv() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return customers_csv(Path(folder) / "a.csv", rows=80).read_bytes()


def _parquet() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = customers_csv(Path(folder) / "a.csv", rows=80)
        parquet.write_table(pyarrow.csv.read_csv(file), Path(folder) / "a.parquet")
        return (Path(folder) / "a.parquet").read_bytes()


UPLOADS = {"a.csv": _csv(), "a.parquet": _parquet()}


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    name=st.sampled_from(sorted(UPLOADS)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.sampled_from(PIECES), st.integers(0, 12)), max_size=4),
    cut=st.one_of(st.none(), st.floats(0, 1)),
)
def test_upload_when_mutated_then_is_a_sound_version_or_refused(
    name: str, changes: list[tuple[float, bytes, int]], cut: float | None
):
    content = bytearray(UPLOADS[name])
    for where, piece, gone in changes:
        at = int(where * len(content))
        content[at : at + gone] = piece
    if cut is not None:
        del content[int(cut * len(content)) :]
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / name, Path(folder) / "version"
        file.write_bytes(content)
        try:
            said = ingest([(name, file)], {"columns": {"label": "churn"}}, out, Context(), {})
        except JobError:
            return
        table = dataset.load(out)
        assert np.isfinite(table.encoding.transform(table.frame)).all()
        assert len(table) == said["statistics"]["rows"]
        assert set(np.unique(table.target)) == set(range(len(table.schema.classes)))
        assert (table.split == dataset.TRAIN).any()
