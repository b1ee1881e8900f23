"""Whatever bytes are uploaded as documents: they are read, or refused in words; nothing else ever happens."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.text.dataset import PARTS, load
from worker.kinds.text.ingest import ingest

CELL = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=30),
    st.lists(st.one_of(st.floats(width=32), st.text(max_size=3)), max_size=4),
)  # fmt: skip
RECORD = st.dictionaries(
    st.sampled_from(["text", "id", "source", "split", "score_a", "embedding", "other"]), CELL, max_size=7
)
NAME = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5)  # with NUL it is refused
DOCUMENT = st.fixed_dictionaries(
    {"text": st.text(max_size=40)},
    optional={"id": NAME, "source": NAME, "score_a": st.floats(allow_nan=False)},
)
SLOW = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


CODES = {"invalid_input", "unknown_column", "unsupported", "decoded_too_large", "unsafe_format"}


def outcome(name: str, data: bytes, **options: Any) -> dict[str, Any] | JobError:
    """What ingest says, or the refusal, whose code must be one of these; what it wrote is looked at."""
    found = _outcome(name, data, **options)
    assert not isinstance(found, JobError) or (found.code in CODES and found.detail)
    return found


def _outcome(name: str, data: bytes, **options: Any) -> dict[str, Any] | JobError:
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "upload", Path(folder) / "out"
        path.write_bytes(data)
        out.mkdir()
        try:
            said = ingest([(name, path)], options, out, Context(), {})
        except JobError as refusal:
            return refusal
        corpus = load(out)
        texts = list(corpus.texts(np.arange(len(corpus))))
        assert len(texts) == len(corpus) == said["statistics"]["documents"] > 0
        assert [len(text.encode()) for text in texts] == corpus.bytes.tolist()
        assert [len(text) for text in texts] == corpus.chars.tolist()
        assert all(text.strip() for text in texts)
        assert corpus.split.min() >= -1
        assert corpus.split.max() < len(PARTS)
        json.dumps(said, allow_nan=False)
        return said | {"texts": texts}


@SLOW
@given(st.binary(max_size=400))
def test_bytes_when_uploaded_as_text_then_read_or_refused(data: bytes):
    outcome("d.txt", data)
    outcome("d.jsonl", data)


@SLOW
@given(st.lists(RECORD, min_size=1, max_size=8))
def test_records_when_of_any_types_then_read_or_refused(rows: list[dict[str, Any]]):
    outcome("d.jsonl", "\n".join(json.dumps(row) for row in rows).encode())


@SLOW
@given(st.lists(DOCUMENT, min_size=1, max_size=8))
def test_documents_when_well_formed_then_come_back_as_they_were(rows: list[dict[str, Any]]):
    said = outcome("d.jsonl", "\n".join(json.dumps(row, ensure_ascii=True) for row in rows).encode())
    kept = [row["text"] for row in rows if row["text"].strip()]
    if isinstance(said, JobError):  # nothing left, or an id that is missing
        assert not kept or " id " in said.detail
        return
    assert said["texts"] == kept


@SLOW
@given(st.text(st.characters(exclude_characters="\r\0", exclude_categories=["Cs", "Cc"]) | st.just("\n"), max_size=200))
def test_text_when_plain_then_every_line_is_a_document(text: str):
    said = outcome("d.txt", text.encode())
    if isinstance(said, JobError):
        return
    assert said["texts"] == [line for line in text.removeprefix("\ufeff").split("\n") if line.strip()]
