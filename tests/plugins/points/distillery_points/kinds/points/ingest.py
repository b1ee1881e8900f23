"""Uploaded tables of labelled points to a dataset version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.kind import Sources
from worker.ingest.limits import Limits
from worker.ingest.options import ColumnMap, ReadOptions, column_map, parse_options
from worker.ingest.table import Role, Schema, as_table, read_columns
from worker.ingest.upload import Upload, choose_tables, detection
from worker.kinds.points import dataset
from worker.kinds.points.dataset import PARTS, TEST, TRAIN, VALIDATION, Points

SCHEMA = Schema(
    "a table of labelled points",
    (
        Role("x", "number", ("x", "longitude"), required=True),
        Role("y", "number", ("y", "latitude"), required=True),
        Role("label", "id", ("label", "class"), required=True),
    ),
)
FIVE_PARTS = np.array([TRAIN, TRAIN, TRAIN, VALIDATION, TEST], np.int8)


class IngestOptions(ReadOptions):
    """How a table of labelled points becomes a dataset version."""

    columns: ColumnMap = column_map(SCHEMA, example='{"label": "species"}')
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the split: 60 % train, 20 % validation, 20 % test.")


def ingest(
    sources: Sources, options: Mapping[str, Any], out: Path, ctx: Context, limits: Mapping[str, int]
) -> dict[str, Any]:
    """Write the canonical files of a version to `out`; see `worker.contract.kind.Ingest`."""
    given = parse_options(IngestOptions, options)
    upload = Upload(sources, SCHEMA, ctx, Limits(**limits))
    tables, ignored = choose_tables(
        upload.named(given.file), lambda file: as_table(upload.detect(file, given.hints()), given.columns, SCHEMA)
    )
    columns = read_columns(tables, upload.meter)
    at = np.column_stack([columns.numbers["x"], columns.numbers["y"]])
    if not np.isfinite(at).all():
        raise JobError("invalid_input", "A point has no finite x or y.", hint="Leave such rows out of the upload.")
    if columns.n < len(PARTS) * len(FIVE_PARTS):
        raise JobError("too_few_rows", f"{columns.n} points are too few for a split.", hint="Upload more points.")
    split = np.random.default_rng(given.seed).permutation(np.resize(FIVE_PARTS, columns.n))
    labels = columns.words["label"]
    words = np.array(labels.words.to_pylist(), dtype=str)
    dataset.save(Points(at, labels.codes, words, split), out)
    return dataset.describe(out) | {
        "schema": {dataset.FILE: {"at": "float64", "label": "int32", "labels": "string", "split": "int8"}},
        "warnings": list(ctx.warnings),
        "detection": detection(tables, ignored),
    }
