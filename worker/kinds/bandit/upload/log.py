"""Which of the uploaded files are the log, and its rounds, whatever the format."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worker.contract.errors import JobError
from worker.ingest.format import Detected
from worker.ingest.formats.arrays import ARRAYS
from worker.ingest.limits import Meter
from worker.ingest.sources import Source
from worker.ingest.table import Table, as_table
from worker.ingest.upload import Upload, choose_tables, detection
from worker.kinds.bandit.upload.dictionary import read_dictionary
from worker.kinds.bandit.upload.log_examples import examples_table, read_examples
from worker.kinds.bandit.upload.log_table import asked_columns, log_table, read_log_table
from worker.kinds.bandit.upload.options import IngestOptions
from worker.kinds.bandit.upload.raw import RawLog
from worker.kinds.bandit.upload.roles import LOG
from worker.kinds.bandit.upload.vw import VW

_SHOWN = 60


def choose_log(
    upload: Upload, candidates: Sequence[Source], options: IngestOptions
) -> tuple[list[Table], list[dict[str, str]]]:
    """The files of the log, which are one table, one npz or one VW text; and of the others {file, why}."""
    if not candidates:
        raise JobError(
            "invalid_input",
            "The upload has no log: a table with a row a round, of action, reward and propensity.",
            hint="Upload the log beside its side tables, or name it with the option file. For policies without a log "
            "set contents to policies.",
            pointer="/options/file" if options.file else "/files",
        )
    hints = options.hints()
    return choose_tables(candidates, lambda source: _as_log(upload.detect(source, hints), options), what="the log")


def _as_log(detected: Detected, options: IngestOptions) -> Table:
    if detected.format is VW:
        if options.guardrails or options.segments:
            raise JobError(
                "unsupported",
                "VW text has one cost a round and no further columns.",
                hint="Upload the log as a table (CSV, Parquet) with guardrails and segments as columns.",
                pointer="/options/guardrails" if options.guardrails else "/options/segments",
            )
        return examples_table(detected)
    if detected.format is not ARRAYS:
        return log_table(detected, options)
    if options.structure != "rounds":
        raise JobError(
            "unsupported",
            f"{detected.source.name} holds arrays, and {options.log_schema.what} is read from a table.",
            hint="Upload it as CSV, Parquet or JSON lines.",
            pointer="/options/structure",
        )
    try:
        return as_table(detected, asked_columns(options), LOG)
    except JobError as refused:
        if refused.code == "unknown_column" and not {"action", "reward"} & set(options.columns):
            refused.hint = "Policies go by their file names: logging_policy.npz, target_policies/NAME.npz."
        raise


def read_log(tables: Sequence[Table], options: IngestOptions, meter: Meter) -> RawLog:
    """All rounds in the order of the upload."""
    first = tables[0]
    if first.detected.format is VW:
        return read_examples(first, options, meter)
    if first.detected.format is ARRAYS:
        return read_dictionary(first, options)
    return read_log_table(tables, options, meter)


def log_detection(tables: Sequence[Table], ignored: Sequence[dict[str, str]]) -> dict[str, Any]:
    """What was guessed of the log, for the user to confirm."""
    found = detection(tables, ignored)
    described = {
        role: column.name
        for role, column in tables[0].columns.items()
        if column.role == "context" and not role.startswith("segments:")
    }
    context = [*described.values()]
    found["columns"] = {role: column.name for role, column in tables[0].columns.items() if role not in described}
    return found | {"context_columns": context[:_SHOWN], "context_columns_total": len(context)}
