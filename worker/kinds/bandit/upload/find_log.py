"""Which of the uploaded files is the log: tables of one form, one npz, or one VW text."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.ingest.columns import Column
from worker.ingest.detect import detect
from worker.ingest.detected import Detected
from worker.ingest.limits import Meter
from worker.ingest.sources import ZIP, Source
from worker.ingest.unsafe import refuse_unsafe
from worker.kinds.bandit.upload.arrays import Arrays, open_arrays
from worker.kinds.bandit.upload.dictionary import chosen_arrays, is_dictionary, read_dictionary
from worker.kinds.bandit.upload.log_table import log_roles, read_log
from worker.kinds.bandit.upload.options import IngestOptions
from worker.kinds.bandit.upload.raw import RawLog
from worker.kinds.bandit.upload.vw import looks_like_vw, read_vw
from worker.contract.errors import JobError

_FATAL = {"unsafe_format", "decoded_too_large"}
_PROSE = re.compile(r"(^|/)(readme|licen[cs]e|changelog|notice)[^/]*$|\.(md|html?|pdf|rst)$", re.IGNORECASE)
_SHOWN = 60


@dataclass
class LogFiles:
    """The files of the log: `tables` to be read one below the other, or an npz, or a VW text."""

    tables: list[tuple[Detected, Mapping[str, Column]]] = field(
        default_factory=list[tuple[Detected, Mapping[str, Column]]]
    )
    arrays: Arrays | None = None
    vw: Source | None = None
    chosen: dict[str, str] = field(default_factory=dict[str, str])
    ignored: list[dict[str, str]] = field(default_factory=list[dict[str, str]])

    @property
    def names(self) -> list[str]:
        """Names of the files."""
        if self.arrays is not None:
            return [self.arrays.source.name]
        return [self.vw.name] if self.vw is not None else [detected.source.name for detected, _ in self.tables]

    def read(self, options: IngestOptions, meter: Meter, report: Callable[[], None]) -> RawLog:
        """All rounds."""
        if self.arrays is not None:
            return read_dictionary(self.arrays, options)
        if self.vw is not None:
            return read_vw(self.vw, options, meter, report)
        return read_log(self.tables, options, meter, report)

    def detection(self) -> dict[str, Any]:
        """What was guessed, for the user to confirm."""
        form = "npz" if self.arrays is not None else "vw" if self.vw is not None else self.tables[0][0].format
        context: list[str] = []
        columns = dict(self.chosen)
        if self.tables:
            roles = self.tables[0][1]
            columns = {role: c.name for role, c in roles.items() if not role.startswith("context:")}
            context = [c.name for role, c in roles.items() if role.startswith("context:")]
        return {
            "format": form,
            "files": [d.as_dict() for d, _ in self.tables] or [{"file": name, "format": form} for name in self.names],
            "columns": columns,
            "context_columns": context[:_SHOWN],
            "context_columns_total": len(context),
            "ignored": self.ignored,
        }


def find_log(candidates: list[Source], options: IngestOptions, meter: Meter) -> LogFiles:
    """The log among these files; says of the others why not."""
    found: list[LogFiles] = []
    problems: list[tuple[str, JobError]] = []
    for source in candidates:
        if len(candidates) > 1 and _PROSE.search(source.name):
            problems.append((source.name, JobError("invalid_input", "documentation")))
            continue
        try:
            found.append(_one(source, options, meter))
        except JobError as problem:
            if problem.code in _FATAL:
                raise
            problems.append((source.name, problem))
    if not found:
        if not problems:
            raise JobError(
                "invalid_input",
                "The upload has no log: a table with a row a round, of action, reward and propensity.",
                hint="Upload the log beside its side tables; or name it with the option file.",
                pointer="/options/file" if options.file else "/files",
            )
        raise min((problem for _, problem in problems), key=lambda problem: problem.code != "unknown_column")
    first = found[0]
    signatures = {_signature(files) for files in found}
    if len(signatures) > 1 or (len(found) > 1 and not first.tables):
        names = ", ".join(name for files in found for name in files.names[:10])
        raise JobError(
            "invalid_input",
            f"Several files look like the log: {names}.",
            hint="Upload one of them, or name it with the option file.",
            pointer="/options/file",
        )
    first.tables = [table for files in found for table in files.tables]
    first.ignored = [{"file": name, "why": problem.detail} for name, problem in problems]
    return first


def _one(source: Source, options: IngestOptions, meter: Meter) -> LogFiles:
    head, whole = source.head(meter)
    if not head:
        raise JobError("invalid_input", f"{source.name} is empty.", hint="Upload a table with at least one row.")
    refuse_unsafe(source.name, head, whole)
    if head.startswith(ZIP):
        arrays = open_arrays(source, meter)
        if not is_dictionary(arrays) and not {"action", "reward"} & set(options.columns):
            raise JobError(
                "unknown_column",
                f"{source.name} has no arrays of actions and rewards. Arrays: {', '.join(list(arrays.shapes)[:30])}.",
                hint="Policies are told by their file names: logging_policy.npz, target_policies/NAME.npz.",
                pointer="/columns/action",
            )
        return LogFiles(arrays=arrays, chosen=chosen_arrays(arrays, options))
    text = head.decode("utf-8", "replace")
    if options.format == "auto" and looks_like_vw(text if whole else text[: text.rfind("\n") + 1]):
        return LogFiles(vw=source, chosen={"action": "action", "reward": "-cost", "propensity": "probability"})
    detected = detect(source, options, meter)
    return LogFiles(tables=[(detected, log_roles(detected, options))])


def _signature(files: LogFiles) -> tuple[Any, ...]:
    if not files.tables:
        return (files.names[0],)
    detected, roles = files.tables[0]
    return detected.format, detected.delimiter, detected.header, tuple((r, c.name) for r, c in sorted(roles.items()))
