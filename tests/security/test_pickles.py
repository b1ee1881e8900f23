"""pickle, .pt, joblib, Keras: refused by what they are, whatever they are called, and never executed."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import zlib
from pathlib import Path

import pytest
import torch

from tests.security.files import archive
from tests.security.fort import Fort

pytestmark = pytest.mark.security


class Payload:
    """Unpickling it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    tmp_path.chmod(0o777)
    return tmp_path / "executed"


@pytest.mark.parametrize("protocol", range(6))
def test_pickle_when_called_a_table_then_refused_and_not_executed(fort: Fort, mark: Path, protocol: int) -> None:
    """Protocols 0 and 1 have no magic bytes: they are known by their opcodes."""
    names = ("clicks.csv", "clicks.parquet", "model.pkl")
    error = fort.refused({names[protocol % 3]: pickle.dumps(Payload(mark), protocol)}, "unsafe_format")
    assert "to_parquet" in error["hint"]
    assert not mark.exists()


def test_pickle_when_compressed_then_refused_and_not_executed(fort: Fort, mark: Path) -> None:
    payload = pickle.dumps(Payload(mark))
    fort.refused({"clicks.csv.gz": gzip.compress(payload)}, "unsafe_format")
    fort.refused({"model.joblib": zlib.compress(payload)}, "unsafe_format")
    fort.refused({"clicks.zip": archive([("clicks.csv", payload)])}, "unsafe_format")
    assert not mark.exists()


def test_torch_file_when_uploaded_then_refused_and_not_executed(fort: Fort, mark: Path) -> None:
    for zipped in (True, False):
        out = io.BytesIO()
        torch.save({"weights": Payload(mark)}, out, _use_new_zipfile_serialization=zipped)
        fort.refused({"clicks.csv": out.getvalue()}, "unsafe_format")
    assert not mark.exists()


def test_model_files_when_uploaded_then_refused(fort: Fort) -> None:
    fort.refused({"model.h5": b"\x89HDF\r\n\x1a\n" + bytes(500)}, "unsafe_format")
    keras = archive([("config.json", b"{}"), ("model.weights.h5", b"\x89HDF\r\n\x1a\n")])
    fort.refused({"model.zip": keras}, "unsafe_format")
