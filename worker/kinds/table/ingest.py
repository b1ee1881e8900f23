"""Uploaded tables to a dataset version: types inferred, missing cells marked, ids dropped, the split drawn or read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.kind import Sources
from worker.contract.text import storable
from worker.ingest.arrow import Arrow, pc
from worker.ingest.columns import Wanted, find
from worker.ingest.format import Detected
from worker.ingest.limits import Limits
from worker.ingest.options import ColumnMap, Listed, ReadOptions, column_map, parse_options
from worker.ingest.table import Role, as_table, read_batches
from worker.ingest.table import Schema as Roles
from worker.ingest.table import Table as Found
from worker.ingest.upload import Upload, choose_tables, detection
from worker.kinds.table import dataset, splits
from worker.kinds.table.dataset import SPLIT, TEST, TRAIN, WEIGHT, Schema, Table, target_of
from worker.kinds.table.infer import advice, matches, separated, typed, verdict
from worker.kinds.table.label import classes_of, task_of
from worker.kinds.table.strata import quantile_bins
from worker.kinds.table.values import codes

ROLES = Roles(
    "a table with a column to predict",
    (
        Role("label", "text", ("label", "target", "class", "y", "outcome", "labels", "diagnosis"), required=True),
        Role("weight", "number", (WEIGHT,)),
    ),
)
MIN_ROWS = 40
ENCODED_BYTES = 4_000_000_000


class IngestOptions(ReadOptions):
    """How a table with a label becomes a dataset version."""

    columns: ColumnMap = column_map(ROLES, example='{"label": "income"}')
    task: Literal["auto", "classification", "regression"] = Field(
        "auto",
        description="Whether the label is a class or a number to predict; auto: a number with a fraction, or with more "
        "than 20 values, is predicted.",
    )
    categorical_columns: Listed[str] = Field(
        default_factory=list, description="Columns of numbers that are codes of categories; patterns such as `code_*`."
    )
    ignore_columns: Listed[str] = Field(default_factory=list, description="Columns to leave out; names or patterns.")
    keep_columns: Listed[str] = Field(
        default_factory=list, description="Columns that look like ids and are none; names or patterns."
    )
    bins: int = Field(
        5, ge=2, le=20, description="Quantile bins of a number to predict, which a budget is spread over."
    )
    split: str = Field(
        "random",
        pattern=r"^(auto|random|files|column:.+)$",
        description="How rows are held out: random (60 % train, 20 % validation, 20 % test of every class), files (the "
        "names of the files say train, validation or test), or column:NAME (a column says so). A given split without "
        "validation rows gets a fifth of its training rows.",
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the split.")


@dataclass
class _Read:
    """The upload's columns under their names, each in one chunk; the label's name; weights, and a given split (n,)."""

    columns: dict[str, Arrow]
    label: str
    weight: np.ndarray | None
    part: np.ndarray | None

    def keep(self, rows: np.ndarray) -> None:
        """Keep these rows."""
        taken = pa.array(rows)
        self.columns = {name: column.take(taken) for name, column in self.columns.items()}
        self.weight = None if self.weight is None else self.weight[rows]
        self.part = None if self.part is None else self.part[rows]


def ingest(
    sources: Sources, options: Mapping[str, Any], out: Path, ctx: Context, limits: Mapping[str, int]
) -> dict[str, Any]:
    """Write the canonical files of a version to `out`; see `worker.contract.kind.Ingest`.

    Raises `JobError` whose pointer names the column or option at fault.
    """
    given = parse_options(IngestOptions, options)
    upload = Upload(sources, ROLES, ctx, Limits(**limits))
    tables, ignored = choose_tables(
        upload.named(given.file), lambda source: _table(upload.detect(source, given.hints()), given)
    )
    upload.expect([table.detected.source for table in tables])
    read = _read(tables, upload, given)
    upload.tell(tables)
    _tell_unmatched(tables[0].detected, given, ctx)
    ctx.progress(0, 3, phase="clean")
    _drop_useless(read, ctx)
    schema = _schema(read, given, ctx)
    ctx.progress(1, 3, phase="split")
    target = target_of(read.columns[read.label], schema)
    split = _split(read, target, schema, given, ctx)
    kept = [name for name in read.columns if name in schema.kinds or name == read.label]
    table = Table(pa.table({name: read.columns[name] for name in kept}), schema, split, read.weight)
    _check_width(table)
    ctx.progress(2, 3, phase="write")
    dataset.save(table, out)
    ctx.progress(3, 3, phase="write")
    types = {name: str(read.columns[name].type) for name in kept}
    return dataset.describe(out) | {
        "schema": {dataset.TABLE_FILE: types | {SPLIT: "int8"} | ({} if read.weight is None else {WEIGHT: "float"})},
        "warnings": list(ctx.warnings),
        "detection": detection(tables, ignored) | {"task": schema.task, "features": dict(schema.kinds)},
    }


def _table(detected: Detected, given: IngestOptions) -> Found:
    """A file as a table: label and weight by their roles, every other column under its position."""
    found = as_table(detected, given.columns, ROLES)
    where = detected.source.name
    often = Counter(column.name for column in detected.columns)
    if twice := [name for name, count in often.items() if count > 1]:
        raise JobError(
            "invalid_input",
            f"{where} has {often[twice[0]]} columns {twice[0]!r}.",
            hint="Give every column a name of its own.",
            pointer="/columns",
        )
    for column in detected.columns:
        if storable(column.name) != column.name or column.name == SPLIT:
            raise JobError(
                "invalid_input",
                f"The column name {column.name[:80]!r} of {where} cannot be kept.",
                hint="Rename the column.",
                pointer="/columns",
            )
    taken = {column.index for column in found.columns.values()}
    wanted = list(found.wanted)
    if given.split.startswith("column:"):
        wanted.append(_split_column(detected, given.split.removeprefix("column:"), taken))
        taken.add(wanted[-1].column.index)
    for column in detected.columns:
        left_out = column.name == WEIGHT or matches(column.name, given.ignore_columns)
        if column.index not in taken and not left_out:
            if column.type == "nested":
                detected.warnings.append(f"The column {column.name!r} holds lists or objects and was left out.")
                continue
            column.role = "feature"
            wanted.append(Wanted(f"feature:{column.index}", column, "text"))
    return Found(detected, tuple(wanted))


def _split_column(detected: Detected, name: str, taken: set[int]) -> Wanted:
    column = find(detected.columns, name)
    if column is None or column.type == "nested" or column.index in taken:
        listed = ", ".join(repr(one.name) for one in detected.columns[:30])
        raise JobError(
            "unknown_column",
            f"No column {name!r} of {detected.source.name} can say the split. Columns seen: {listed}.",
            hint="Name another column in the option split, or leave it out.",
            pointer="/options/split",
        )
    column.role = "split"
    return Wanted("split", column, "text")


def _tell_unmatched(detected: Detected, given: IngestOptions, ctx: Context) -> None:
    for option in ("categorical_columns", "ignore_columns", "keep_columns"):
        for pattern in getattr(given, option):
            if not any(matches(column.name, [pattern]) for column in detected.columns):
                ctx.warn(f"{pattern!r} in {option} is no column of the upload.")


def _read(tables: Sequence[Found], upload: Upload, given: IngestOptions) -> _Read:
    """All rows, types inferred."""
    files: list[Arrow] = []
    for table in tables:
        batches = [pa.Table.from_batches([batch]) for batch in read_batches([table], upload.meter)]
        files.append(pa.concat_tables([_decoded(batch) for batch in batches], promote_options="permissive"))
    decimal = str(tables[0].detected.layout.get("decimal", "."))
    try:
        whole = pa.concat_tables(files, promote_options="permissive")
    except pa.ArrowException as differ:
        raise JobError(
            "invalid_input",
            f"The files do not have the same columns and types: {str(differ)[:200]}",
            hint="Write all of them with one schema, or upload one.",
        ) from differ
    names = {one.name: one.column.name for one in tables[0].wanted}
    order = sorted(tables[0].wanted, key=lambda one: one.column.index)
    columns = {names[one.name]: typed(whole[one.name], decimal) for one in order if one.name not in {"weight", "split"}}
    part: np.ndarray | None = None
    if "split" in names:
        found, words = codes(typed(whole["split"]))
        part = splits.of_words(found, words, names["split"])
    elif given.split == "files":
        part = splits.of_files([table.name for table in tables], [len(file) for file in files])
    weight = None
    if "weight" in names:
        with np.errstate(over="ignore"):
            weight = np.asarray(whole["weight"].to_numpy(), np.float32)
        if not (np.isfinite(weight) & (weight >= 0)).all() or not weight.any():
            raise JobError(
                "invalid_input",
                f"The weights {names['weight']!r} are not all numbers of 32 bits, at least 0, with one above 0.",
                hint='Correct them, or leave them out with columns={"weight": ""}.',
                pointer="/columns/weight",
            )
    return _Read(columns, names["label"], weight, part)


def _decoded(batch: Arrow) -> Arrow:
    """A batch without dictionaries: those of two batches may differ."""
    columns = {name: batch[name] for name in batch.column_names}
    for name, column in columns.items():
        if pa.types.is_dictionary(column.type):
            columns[name] = column.cast(column.type.value_type)
    return pa.table(columns)


def _drop_useless(read: _Read, ctx: Context) -> None:
    """Leave out rows that count nothing, and rows without a label."""
    if read.weight is not None and (nothing := int((read.weight == 0).sum())):
        ctx.warn(f"{nothing:,} rows of weight 0 count nothing and were left out.")
        read.keep(np.flatnonzero(read.weight))
    label = read.columns[read.label]
    if missing := label.null_count:
        if missing == len(label):
            raise JobError(
                "invalid_input",
                f"Every cell of the label {read.label!r} is missing.",
                hint='Name the column to predict, as in columns={"label": "income"}.',
                pointer="/columns/label",
            )
        ctx.warn(f"{missing:,} rows without a label ({read.label!r} is empty, or says so, as ? or none) were left out.")
        read.keep(np.flatnonzero(pc.is_valid(label).to_numpy(zero_copy_only=False)))
    if len(read.columns[read.label]) < MIN_ROWS:
        raise JobError(
            "too_few_rows",
            f"{len(read.columns[read.label])} labelled rows are too few: a table has at least {MIN_ROWS}.",
            hint="Upload more rows.",
        )


def _schema(read: _Read, given: IngestOptions, ctx: Context) -> Schema:
    """What every column is; drops what nothing can be learned from, and classes too rare to be held out."""
    task = task_of(read.label, read.columns[read.label], given.task)
    classes: tuple[str, ...] = ()
    if task == "classification":
        classes, rows = classes_of(read.label, read.columns[read.label], ctx)
        if len(rows) < len(read.columns[read.label]):
            read.keep(rows)
    kinds: dict[str, str] = {}
    for name, column in read.columns.items():
        if name == read.label:
            continue
        if cell := separated(column):
            ctx.warn(f"{advice(name, cell)} They were read as words.")
        found = verdict(name, column, given.categorical_columns, given.keep_columns)
        if found.kind == "dropped":
            ctx.warn(f"The column {name!r} was left out: {found.why}.")
        else:
            kinds[name] = found.kind
    if not kinds:
        raise JobError(
            "invalid_input",
            "No column is left to predict the label from.",
            hint="Upload a table with more columns, or keep some that look like ids with keep_columns.",
            pointer="/options/keep_columns",
        )
    split = "drawn at random within each class or bin, 60 % train, 20 % validation, 20 % test"
    if given.split not in {"auto", "random"}:
        split = f"given ({given.split})"
    return Schema(read.label, task, kinds, classes, given.bins, split)


def _split(read: _Read, target: np.ndarray, schema: Schema, given: IngestOptions, ctx: Context) -> np.ndarray:
    strata = target if schema.task == "classification" else quantile_bins(target, schema.bins)
    if read.part is None:
        split = splits.drawn(strata, given.seed)
        _check_test(
            target[split == TEST], schema, "/columns/label", "Upload more rows, or map another column to label."
        )
        return split
    split = splits.with_validation(read.part, strata, given.seed)
    if split is not read.part:
        ctx.warn("The given split has no validation rows: a fifth of its training rows became these.")
    for code, name in ((TRAIN, "training"), (TEST, "test")):
        if not (split == code).any():
            raise JobError(
                "invalid_input",
                f"The given split has no {name} rows.",
                hint="Give train and test rows, or leave the option split out: then the split is drawn.",
                pointer="/options/split",
            )
    hint = "Leave the option split out: then the split is drawn within each class."
    _check_test(target[split == TEST], schema, "/options/split", hint)
    lacking = np.setdiff1d(strata, strata[split == TRAIN])
    if schema.task == "classification" and len(lacking):
        raise JobError(
            "invalid_input",
            f"The class {schema.classes[int(lacking[0])][:60]!r} has no training row in the given split.",
            hint=hint,
            pointer="/options/split",
        )
    return split


def _check_test(target: np.ndarray, schema: Schema, pointer: str, hint: str) -> None:
    """Refuse test rows that are all alike: no metric can tell one model of them from another."""
    if (target == target[:1]).all():
        group = "of one class" if schema.task == "classification" else "of one value"
        raise JobError("invalid_input", f"All test rows are {group} of the label.", hint=hint, pointer=pointer)


def _check_width(table: Table) -> None:
    size = 4 * len(table) * table.encoding.width
    if not table.encoding.width or size > ENCODED_BYTES:
        raise JobError(
            "dense_too_large",
            f"{len(table):,} rows of {table.encoding.width:,} encoded columns take {size:,} bytes; the limit is "
            f"{ENCODED_BYTES:,}.",
            hint="Leave out columns of many categories with ignore_columns, or upload fewer rows.",
            pointer="/options/ignore_columns",
        )
