"""A summary that is judged on another version than it was made of is marked; one of the same content is not."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.evidence.made_up import measurements
from worker.evidence.provenance import ELSEWHERE
from worker.runtime.attempt import _with_provenance
from worker.runtime.protocol import GivenInput


@pytest.mark.parametrize(
    ("kind_of_input", "content", "mark"),
    [("summary", "ours", ""), ("summary", "theirs", ELSEWHERE), ("dataset", "theirs", "")],
)
def test_summary_when_made_of_another_content_then_its_evidence_says_so(
    kind_of_input: str, content: str, mark: str, tmp_path: Path
):
    (tmp_path / "manifest.json").write_text(json.dumps({"dataset": {"content_sha256": content}}))
    given = GivenInput(kind_of_input, "interactions", str(tmp_path))
    job: Any = SimpleNamespace(job={"dataset_content": "ours"}, inputs={"summary": [given]})
    (found,) = [one for one in _with_provenance(measurements(), job).sets if one.role == "summary"]
    assert found.mark == mark
