"""240 documents of made-up words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.kinds.text.planted import jsonl, records
from tests.kinds.tiny import Tiny


def _upload(folder: Path) -> list[tuple[str, Path]]:
    return [("documents.jsonl", jsonl(folder / "documents.jsonl", records()))]


def _loaded(summary: Any) -> tuple[str, float]:
    total = float(summary.bytes + summary.weights.sum())
    code = "import load; print(sum(len(d['text'].encode()) + d['weight'] for d in load.documents()))"
    return code, total


TINY = Tiny(_upload, _loaded, evaluate={"draws": 2, "bootstrap": 100})
