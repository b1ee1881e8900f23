"""Data that is kept as it came."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from worker.contract.context import Context
from worker.contract.kind import Ingest, Kind, Sources


class Options(BaseModel):
    """No options."""

    model_config = ConfigDict(extra="forbid")

    columns: dict[str, str] = {}


def ingest(
    sources: Sources, options: Mapping[str, Any], out: Path, ctx: Context, limits: Mapping[str, int]
) -> dict[str, Any]:
    for name, path in sources:
        shutil.copyfile(path, out / name)
    return {"statistics": {"notes": len(sources)}, "preview": [], "schema": {}, "warnings": [], "detection": {}}


KIND = Kind[Path](
    name="notes",
    unit="note",
    units="notes",
    ingest=Ingest(Options, ingest),
    load=lambda folder: folder,
    describe=lambda folder: {"statistics": {}, "preview": [], "warnings": []},
)
