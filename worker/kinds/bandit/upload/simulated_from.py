"""What logs are simulated from: a table of ratings, or a classified one."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.contract.errors import JobError
from worker.ingest.columns import DESCRIBING
from worker.ingest.format import Detected
from worker.ingest.formats.arrays import Arrays
from worker.ingest.ids import IdMap
from worker.ingest.table import Table, Words, as_table, read_batches, read_columns
from worker.ingest.upload import Upload, choose_tables, detection
from worker.kinds.bandit.upload.dictionary import matrix
from worker.kinds.bandit.upload.features import encode, fill_missing
from worker.kinds.bandit.upload.log_table import as_feature, context_columns, described_by
from worker.kinds.bandit.upload.options import IngestOptions
from worker.kinds.bandit.upload.raw import number_words
from worker.kinds.bandit.upload.roles import CLASSES, RATINGS

_TELLING = re.compile(r"rating|inter|event|review|train|u\.data|click|purchase")
_SHOWN = 60


def read_ratings(
    upload: Upload, given: IngestOptions
) -> tuple[Words, Words, NDArray[np.float64] | None, dict[str, Any]]:
    """Users, items and, where there are some, ratings (n,), and what was guessed of the files."""
    hints = given.hints()
    tables, ignored = choose_tables(
        upload.named(given.file),
        lambda source: as_table(upload.detect(source, hints), given.columns, RATINGS),
        _preference,
    )
    users, items, ratings = IdMap(), IdMap(), list[NDArray[np.float64]]()
    for batch in read_batches(tables, upload.meter):
        users.add(batch["user"])
        items.add(batch["item"])
        if "rating" in batch.schema.names:
            ratings.append(batch["rating"].to_numpy(zero_copy_only=False))
    upload.tell(tables)
    found = np.concatenate(ratings) if ratings else None
    return Words(*users.finish()), Words(*items.finish()), found, detection(tables, ignored)


def _preference(table: Table) -> tuple[bool, bool, bool]:
    named = table.detected.header or table.detected.pairs > 0
    return named, "rating" in table.columns, bool(_TELLING.search(table.name.lower()))


def read_classes(upload: Upload, given: IngestOptions) -> tuple[NDArray[np.float32], Words, dict[str, Any], list[str]]:
    """Features (n, d) float32, labels, what was guessed, names of the features; from one table or an npz of X and y."""
    if len(upload.sources) != 1:
        names = ", ".join(source.name for source in upload.sources[:10])
        raise JobError("invalid_input", f"One classified table is needed, not {names}.", pointer="/options/file")
    detected = upload.detect(upload.sources[0], given.hints())
    arrays = detected.layout.get("arrays")
    if arrays is not None:
        return _class_arrays(arrays, given)
    return _class_columns(detected, upload, given)


def _class_arrays(arrays: Arrays, given: IngestOptions) -> tuple[NDArray[np.float32], Words, dict[str, Any], list[str]]:
    inputs = arrays.find("X", "x", "features", "context", "data", dimensions=(2,))
    asked = given.columns.get("label", "")
    label = arrays.find(str(asked)) if asked else arrays.find("y", "label", "labels", "target", dimensions=(1,))
    if not inputs or not label or arrays.shapes[inputs][0] != arrays.shapes[label][0]:
        raise JobError(
            "unknown_column", f"{arrays.source.name} needs arrays X (n, d) and y (n,).", pointer="/columns/label"
        )
    values = matrix(arrays, inputs)
    return values, number_words(arrays.words(label)), {"format": "npz"}, [f"x_{d}" for d in range(values.shape[1])]


def _class_columns(
    detected: Detected, upload: Upload, given: IngestOptions
) -> tuple[NDArray[np.float32], Words, dict[str, Any], list[str]]:
    table = as_table(detected, given.columns, CLASSES)
    label = table.columns["label"]
    chosen = context_columns(detected, given) if given.context_columns else detected.columns
    kept = [c for c in chosen if c is not label and c.name and c.type in DESCRIBING]
    described = [described_by(column, "context", given) for column in kept]
    columns = read_columns([Table(detected, (*table.wanted, *described))], upload.meter)
    upload.tell([table])
    features = [as_feature(columns, one.name, one.column.name) for one in described]
    features, _ = fill_missing(features, detected.source.name)
    values, names = encode(features, columns.n, given.max_categories, given.hash_columns, "/options/max_categories")
    guessed = {
        "format": detected.format.name, "files": [detected.as_dict()], "columns": {"label": label.name},
        "context_columns": [column.name for column in kept][:_SHOWN],
    }  # fmt: skip
    return values, columns.words["label"], guessed, names
