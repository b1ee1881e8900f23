"""An upload: its files, unpacked once and looked at once, and which of them are the table that a kind reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.ingest.detect import detect
from worker.ingest.format import Detected
from worker.ingest.formats import FORMATS
from worker.ingest.limits import Limits, Meter
from worker.ingest.sample import NO_HINTS, Hints, Sample
from worker.ingest.sources import Source, expand
from worker.ingest.table import Schema, Table

Files = Sequence[tuple[str, Path] | Path]
_FATAL = {"unsafe_format", "decoded_too_large"}
_PROSE = re.compile(r"(^|/)(readme|licen[cs]e|changelog|notice)[^/]*$|\.(md|html?|pdf|rst)$", re.IGNORECASE)


class Upload:
    """The files of an upload, archives opened, with the `meter` that counts what they decode to.

    `files`: (logical name, path) pairs, or paths. `schema`: the table that is looked for, which brings names of columns
    and formats. Progress is that of bytes of the upload (phase "read"). Raises `JobError` for what cannot be opened.
    """

    def __init__(self, files: Files, schema: Schema, ctx: Context, limits: Limits) -> None:
        self.meter = Meter(limits)
        self.sources = expand(files, self.meter)
        self._schema, self._ctx = schema, ctx
        self._samples: dict[Source, tuple[bytes, bool]] = {}
        self._detected: dict[tuple[Source, Hints], Detected] = {}
        self.expect(self.sources)

    def expect(self, sources: Iterable[Source]) -> None:
        """Say which files will be read: all progress is a share of their bytes."""
        total = max(1, sum(source.packed_bytes for source in sources))

        def report() -> None:
            done = min(int(self.meter.packed_done), total)
            self._ctx.progress(done, total, phase="read", rows=float(self.meter.rows))

        self.meter.tick = report

    def detect(self, source: Source, hints: Hints = NO_HINTS) -> Detected:
        """What a file is, given what the user says of it (nothing by default)."""
        known = self._detected.get((source, hints))
        if known is None:
            if source not in self._samples:
                self._samples[source] = source.head(self.meter)
            sample = Sample(source, *self._samples[source], hints, self._schema.names)
            known = detect(sample, (*self._schema.formats, *FORMATS), self.meter)
            self._detected[source, hints] = known
        return known

    def tell(self, tables: Sequence[Table]) -> None:
        """Warn of what is doubtful in tables that were read, and of cells that are not what they were."""
        for warning in dict.fromkeys(warning for table in tables for warning in table.detected.warnings):
            self._ctx.warn(warning)
        for sentence in self.meter.remarks.sentences():
            self._ctx.warn(sentence)

    def named(self, pattern: str) -> list[Source]:
        """The files whose name, or last part of it, matches; all for the pattern "". Raises `JobError` if none does."""
        found = [
            source
            for source in self.sources
            if not pattern or fnmatch(source.name, pattern) or fnmatch(Path(source.name).name, pattern)
        ]
        if not found:
            names = ", ".join(source.name for source in self.sources[:20])
            raise JobError("invalid_input", f"No file matches {pattern!r}. Files: {names}.", pointer="/options/file")
        return found


def choose_tables(
    sources: Sequence[Source],
    as_table: Callable[[Source], Table],
    preference: Callable[[Table], tuple[bool, ...]] = lambda _: (),
    what: str = "the table",
) -> tuple[list[Table], list[dict[str, str]]]:
    """The files that hold the table, and of the others {file, why}.

    `as_table` raises `JobError` for a file that is none. Of those that are, the preferred form is chosen; two
    forms that are equally preferred are refused.
    """
    tables: list[Table] = []
    problems: list[tuple[str, JobError]] = []
    for source in sources:
        if len(sources) > 1 and is_prose(source.name):
            problems.append((source.name, JobError("invalid_input", "documentation")))
            continue
        try:
            tables.append(as_table(source))
        except JobError as problem:
            if problem.code in _FATAL:
                raise
            problems.append((source.name, problem))
    if not tables:
        # a table without the right columns says more than a file that is no table
        raise min((problem for _, problem in problems), key=lambda problem: problem.code != "unknown_column")
    best = max(preference(table) for table in tables)
    chosen = [table for table in tables if preference(table) == best]
    alone = len(chosen) > 1 and any(table.detected.format.alone for table in chosen)
    if alone or len({table.signature for table in chosen}) > 1:
        names = ", ".join(table.name for table in chosen[:10])
        raise JobError(
            "invalid_input",
            f"Several files look like {what}: {names}.",
            hint="Upload one of them, or name it with the option file.",
            pointer="/options/file",
        )
    others = [(table.name, "another file looks more like the table") for table in tables if table not in chosen]
    ignored = others + [(name, problem.detail) for name, problem in problems]
    return chosen, [{"file": name, "why": why} for name, why in ignored]


def is_prose(name: str) -> bool:
    """Whether a file of this name is documentation."""
    return bool(_PROSE.search(name))


def detection(tables: Sequence[Table], ignored: Sequence[dict[str, str]]) -> dict[str, Any]:
    """What was guessed of the chosen tables (JSON), for the user to confirm."""
    return {
        "format": tables[0].detected.format.name,
        "files": [table.detected.as_dict() for table in tables],
        "columns": {role: column.name for role, column in tables[0].columns.items()},
        "ignored": list(ignored),
        "warnings": [],
    }
