"""240 documents of made-up words."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
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


def _credentials() -> dict[str, Any]:
    """A small model from a directory that processes share, untrained: what it says is chance, but always the same."""
    folder = Path(tempfile.gettempdir()) / f"distillery-untrained-judge-{os.getuid()}"
    if not (folder / "config.json").exists():
        from tests.judges.train import train_judge  # transformers is slow to import, and most tests need no judge

        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            texts = [one["text"] for one in records(40)]
            train_judge(Path(made) / "judge", texts, [True] * len(texts), epochs=0)
            with suppress(OSError):  # another process was faster
                (Path(made) / "judge").rename(folder)
    return {"judge": {"backend": "hf-local", "path": str(folder)}}


TINY = Tiny(
    _upload,
    _loaded,
    evaluate={"learners": ["ngram"], "draws": 2, "seeds": 1, "bootstrap": 100},
    credentials=_credentials,
)
