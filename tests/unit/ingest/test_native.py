from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.ingest.tables import refusal
from worker.contract.errors import JobError
from worker.ingest import native

REFUSED = """
import sys
from pathlib import Path
import worker.kinds.interactions  # as in a worker: with all of it loaded the process takes its time to end
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.ingest.limits import Limits
from worker.ingest.table import read_batches
from worker.ingest.upload import Upload
from worker.kinds.interactions.ingest import choose
from worker.kinds.interactions.options import IngestOptions
from worker.kinds.interactions.roles import SCHEMA
try:
    upload = Upload([Path(sys.argv[1])], SCHEMA, Context(), Limits())
    list(read_batches(choose(upload, IngestOptions()).tables, upload.meter))
except JobError as problem:
    kept = problem  # as a caller that reports it would: with its traceback, and so Arrow's reader, still alive
    print(problem.code)
"""


def test_process_when_it_ends_after_a_refusal_in_mid_file_then_cleanly(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b'user,item\n"x\n' + b"x,y\n" * 8_000_000)
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", REFUSED, str(path)], capture_output=True, text=True, cwd=Path(__file__).parents[3]
        )
        assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "decoded_too_large", "")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lines_when_read_in_pieces_then_whole_lines_translated(size: int) -> None:
    text = b" 1::2::3 \n4::5::6\r\n7::8::9"
    for delimiter, data, wanted in (
        ("::", text, b" 1\x1f2\x1f3 \n4\x1f5\x1f6\r\n7\x1f8\x1f9"),
        (" ", b"  a \t b \nc d\t\r\ne  f", b"a\x1fb\nc\x1fd\r\ne\x1ff"),
    ):
        lines = native.Lines(io.BytesIO(data), "t", delimiter)
        found = list(iter(lambda lines=lines: lines.read(size), b""))
        assert b"".join(found) == wanted
        assert all(piece.endswith(b"\n") for piece in found[:-1])


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "cp1252"])
def test_lines_when_encoded_then_utf8(encoding: str) -> None:
    lines = native.Lines(io.BytesIO("é,ü\nñ".encode(encoding)), "t", "", encoding)
    assert b"".join(iter(lambda: lines.read(3), b"")).decode() == "é,ü\nñ"


def test_lines_when_one_is_endless_then_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "BLOCK_BYTES", 10)
    lines = native.Lines(io.BytesIO(b"a" * 50), "t")
    with pytest.raises(JobError, match="longer than 10 bytes"):
        list(iter(lambda: lines.read(4), b""))


def test_csv_when_utf16_is_cut_inside_a_character_then_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(("user,item\n" + "é,1\n" * 100_000).encode("utf-16") + b"\x00")
    assert refusal(path, "invalid_input").pointer == "/options/encoding"
