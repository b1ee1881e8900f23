"""Uploads to versions, in tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.labels import KIND
from worker.kinds.labels.dataset import LabelledDocuments


def ingested(
    files: Sequence[tuple[str, Path]], out: Path, options: Mapping[str, Any] | None = None, **limits: int
) -> tuple[LabelledDocuments, dict[str, Any]]:
    """The version of an upload, and what is said of it."""
    out.mkdir(parents=True, exist_ok=True)
    said = KIND.ingest.run(files, options or {}, out, Context(), limits)
    return KIND.load(out), said


def refused(files: Sequence[tuple[str, Path]], out: Path, options: Mapping[str, Any] | None = None) -> JobError:
    """Why an upload is refused."""
    with pytest.raises(JobError) as caught:
        ingested(files, out, options)
    return caught.value


def written(folder: Path, **files: str | bytes) -> list[tuple[str, Path]]:
    """Files of these contents; a name's double underscore is its dot."""
    folder.mkdir(parents=True, exist_ok=True)
    found: list[tuple[str, Path]] = []
    for key, content in files.items():
        path = folder / key.replace("__", ".")
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        found.append((path.name, path))
    return found
