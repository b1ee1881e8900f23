"""From an upload to a table of scores: long tables, results files of an evaluation harness, single answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, Field

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.kind import Sources
from worker.ingest.limits import Limits
from worker.ingest.options import ColumnMap, ReadOptions, column_map, parse_options
from worker.ingest.sources import Source
from worker.ingest.table import Columns, Role, Schema, Table, as_table, read_columns
from worker.ingest.upload import Upload, choose_tables, detection, is_prose
from worker.kinds.scores import answers, checks, dataset, harness
from worker.kinds.scores.dataset import WORDS, ScoreTable

_RUN = Role("run", "id", ("run", "run_id", "run_name", "model", "model_name", "checkpoint"), required=True)
_STAGE = Role("stage", "id", ("stage", "phase"), required=True)
_BENCHMARK = Role("benchmark", "id", ("benchmark", "task", "task_name", "eval", "dataset"), required=True)
_SCALE = Role("scale", "category", ("scale", "size", "model_size", "parameters"))
SCORES = Schema(
    "a table of scores",
    (
        _RUN,
        _STAGE,
        _BENCHMARK,
        Role("metric", "category", ("metric", "metric_name", "measure")),
        Role("value", "number", ("value", "score", "result"), required=True),
        Role("category", "category", ("category", "suite", "domain")),
        _SCALE,
        Role("mixture", "category", ("mixture", "data_mixture", "mix", "recipe")),
        Role("n_examples", "number", ("n_examples", "num_examples", "n_samples", "n")),
        Role("stderr", "number", ("stderr", "standard_error", "std_error")),
        Role("seed", "category", ("seed", "repeat")),
    ),
)
ANSWERS = Schema(
    "a table of answers",
    (
        _RUN,
        _STAGE,
        _BENCHMARK,
        _SCALE,
        Role("example_id", "id", ("example_id", "example", "question_id", "doc_id", "item"), required=True),
        Role("correct", "number", ("correct", "is_correct", "hit"), required=True),
        Role("confidence", "number", ("confidence", "probability", "prob")),
    ),
)
_BOTH = Schema("a table of scores", tuple({role.name: role for role in (*SCORES.roles, *ANSWERS.roles)}.values()))


_WIDE = (
    "A table with a column a benchmark must be made long first, in pandas "
    '`df.melt(["run", "stage"], var_name="benchmark", value_name="value")`.'
)


class IngestOptions(ReadOptions):
    """How scores become a dataset version."""

    columns: ColumnMap = column_map(_BOTH, example='{"run": "model", "value": "acc"}')
    names: Annotated[str, AfterValidator(harness.check_pattern)] = Field(
        "",
        description="How results files of the LM Evaluation Harness are named: a pattern with {run} and {stage}, and, "
        "where names say it, {scale}, {mixture} and {seed}; * is anything within a name. Blank: run/stage/*.json, "
        "run__stage/*.json or run__stage.json. Long tables need none.",
    )


@dataclass
class Rows:
    """Rows of a score table while it is put together, column by column."""

    words: dict[str, list[np.ndarray]] = field(default_factory=lambda: {name: [] for name in WORDS})
    value: list[np.ndarray] = field(default_factory=list[np.ndarray])
    n_examples: list[np.ndarray] = field(default_factory=list[np.ndarray])
    stderr: list[np.ndarray] = field(default_factory=list[np.ndarray])

    def add(self, words: Mapping[str, Any], value: Any, n_examples: Any = None, stderr: Any = None) -> None:
        """More rows (n,); words and numbers that are not given are unknown."""
        count = len(value)
        for name in WORDS:
            given = words.get(name)
            self.words[name].append(np.full(count, "", object) if given is None else np.asarray(given, object))
        for held, given in ((self.value, value), (self.n_examples, n_examples), (self.stderr, stderr)):
            held.append(np.full(count, np.nan) if given is None else np.asarray(given, np.float64))

    def table(self, examples: dataset.Examples | None) -> ScoreTable:
        """All of them; stages in the order in which they first occur."""
        words = {name: np.concatenate(parts) if parts else np.empty(0, object) for name, parts in self.words.items()}
        value, n_examples, stderr = (
            np.concatenate(one) if one else np.empty(0) for one in (self.value, self.n_examples, self.stderr)
        )
        stages = tuple(dict.fromkeys(words["stage"].tolist()))
        return ScoreTable(words, value, n_examples, stderr, stages, examples)


def ingest(
    sources: Sources, options: Mapping[str, Any], out: Path, ctx: Context, limits: Mapping[str, int]
) -> dict[str, Any]:
    """Write the canonical files of a version to `out`; see `worker.contract.kind.Ingest`."""
    given = parse_options(IngestOptions, options)
    upload = Upload(sources, _BOTH, ctx, Limits(**limits))
    ctx.progress(0, 1, phase="read")
    rows = Rows()
    tables = [one for one in upload.named(given.file) if not _add_results(one, rows, given, upload)]
    found = _read_tables(tables, rows, given, upload) if tables or not rows.value else _Found()
    ctx.progress(0, 1, phase="check")
    table = checks.cleaned(rows.table(None), ctx)
    examples = answers.of(found.answers, ctx) if found.answers is not None else None
    if examples is not None:
        table = answers.with_answers(table, examples, ctx)
    checks.refuse_what_cannot_be_compared(table, ctx)
    dataset.save(table, out)
    ctx.progress(1, 1, phase="write")
    types: dict[str, str] = {name: "string" for name in WORDS} | {name: "double" for name in dataset.NUMBERS}
    schema = {dataset.SCORES_FILE: types}
    if examples is not None:
        schema[dataset.EXAMPLES_FILE] = {
            name: "double" if name in ("correct", "confidence") else "string" for name in vars(examples)
        }
    described = dataset.describe(out)
    return described | {"schema": schema, "warnings": list(ctx.warnings), "detection": found.detection()}


@dataclass
class _Found:
    """The tables that were read, and answers among them."""

    tables: list[Table] = field(default_factory=list[Table])
    ignored: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    answers: Columns | None = None

    def detection(self) -> dict[str, Any]:
        """JSON for the user."""
        if self.tables:
            return detection(self.tables, self.ignored)
        return {"format": "harness", "files": [], "columns": {}, "ignored": self.ignored, "warnings": []}


def _add_results(source: Source, rows: Rows, given: IngestOptions, upload: Upload) -> bool:
    """Add the scores of a results file; False if it is none."""
    content = harness.results_of(source, upload.meter)
    if content is None:
        return False
    place = harness.named(source, given.names)
    upload.meter.tick()
    found = list(harness.rows(source, content))
    said = {name: [getattr(one, name) for one in found] for name in ("benchmark", "metric", "category")}
    said |= {name: [word] * len(found) for name, word in place.items()}
    rows.add(said, [o.value for o in found], [o.n_examples for o in found], [o.stderr for o in found])
    return True


def _read_tables(sources: Sequence[Source], rows: Rows, given: IngestOptions, upload: Upload) -> _Found:
    found = _Found()
    of_scores: list[Source] = []
    of_answers: list[Source] = []
    for source in sources:
        if len(sources) > 1 and is_prose(source.name):
            found.ignored.append({"file": source.name, "why": "documentation"})
        else:
            (of_answers if _holds_answers(source, given, upload) else of_scores).append(source)
    upload.expect([*of_scores, *of_answers])
    if of_scores:
        chosen, ignored = choose_tables(of_scores, lambda one: _table(one, SCORES, given, upload))
        read = read_columns(chosen, upload.meter)
        words = {name: _words(read, name) for name in WORDS if name in read.words}
        rows.add(words, read.numbers["value"], read.numbers.get("n_examples"), read.numbers.get("stderr"))
        found.tables += chosen
        found.ignored += ignored
    if of_answers:
        chosen, ignored = choose_tables(of_answers, lambda one: _table(one, ANSWERS, given, upload), what="the answers")
        found.answers = read_columns(chosen, upload.meter)
        found.tables += chosen
        found.ignored += ignored
    upload.tell(found.tables)
    return found


def _holds_answers(source: Source, given: IngestOptions, upload: Upload) -> bool:
    """Whether a file is a table of answers: it can be read as one, and has no column of scores."""
    try:
        _table(source, ANSWERS, given, upload)
    except JobError as problem:
        if problem.code == "unknown_column":
            return False
        raise
    try:
        _table(source, SCORES, given, upload)
    except JobError:
        return True
    return False


def _table(source: Source, schema: Schema, given: IngestOptions, upload: Upload) -> Table:
    detected = upload.detect(source, given.hints())
    known = {role.name for role in schema.roles}
    columns = {role: name for role, name in given.columns.items() if role in known}
    try:
        return as_table(detected, columns, schema)
    except JobError as missing:
        if missing.code == "unknown_column" and missing.pointer in ("/columns/benchmark", "/columns/value"):
            missing.hint = f"{missing.hint} {_WIDE}"
        raise


def _words(read: Columns, name: str) -> np.ndarray:
    return np.array(read.words[name].words.to_pylist(), object)[read.words[name].codes]
