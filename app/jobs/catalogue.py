"""The methods that workers announced, and parameters checked against them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import jsonschema
from sqlalchemy import Connection, select

from app.jobs.errors import Refused
from app.jobs.states import JobRow
from app.store.tables import method
from app.store.workers import unavailable_kinds


def find_method(conn: Connection, kind: str, name: str, task: str | None) -> JobRow:
    """The method of that name for this kind of data; `Refused` says which would fit instead."""
    row = conn.execute(select(method).where(method.c.kind == kind, method.c.name == name)).mappings().one_or_none()
    if row is None:
        raise _unknown(conn, kind, name)
    if task is None and row["task"] == "ingest":
        raise _unknown(conn, kind, name)
    if task is not None and task != row["task"]:
        raise Refused(
            "task_mismatch",
            f"{name} is a method to {row['task']}, not to {task}.",
            hint="Leave `task` out: the method fixes it.",
            pointer="/task",
        )
    return row


def need_kind(conn: Connection, kind: str) -> JobRow:
    """The ingest method of a kind of data; `Refused` names the kinds there are, and the package that this one lacks."""
    rows = conn.execute(select(method).where(method.c.task == "ingest").order_by(method.c.kind)).mappings().all()
    known = {str(row["kind"]): row for row in rows}
    if kind in known:
        return known[kind]
    listed = f"Kinds of this service: {', '.join(known) or 'none, for no worker has started yet'}."
    if (package := unavailable_kinds(conn).get(kind)) is not None:
        detail = f"No worker can read {kind}: the package {package} is not installed."
        raise Refused("unknown_kind", detail, hint=f"Install {package} on a worker. {listed}", pointer="/kind")
    near = difflib.get_close_matches(kind, known, n=1)
    hint = (f"Did you mean {near[0]}? " if near else "") + listed
    raise Refused("unknown_kind", f"No worker announced the kind {kind}.", hint=hint, pointer="/kind")


def checked_parameters(schema: Mapping[str, Any], given: Mapping[str, Any], pointer: str) -> dict[str, Any]:
    """The parameters with the schema's defaults filled in; `Refused` points at the first wrong one."""
    known: dict[str, Any] = dict(schema.get("properties", {}))
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"Known: {', '.join(sorted(known)) or 'none'}."
            raise Refused("invalid_params", f"There is no parameter {name}.", hint=hint, pointer=f"{pointer}/{name}")
    error = jsonschema.Draft202012Validator(dict(schema)).iter_errors(dict(given))
    for problem in sorted(error, key=lambda e: [str(part) for part in e.absolute_path]):
        where = "/".join(str(part) for part in problem.absolute_path)
        described = known.get(str(problem.absolute_path[0]), {}) if problem.absolute_path else {}
        raise Refused(
            "invalid_params",
            f"{where or pointer.strip('/')}: {problem.message}",
            hint=str(described.get("description", "See the method's schema at /v1/methods.")),
            pointer=f"{pointer}/{where}".rstrip("/"),
        )
    defaults = {name: field["default"] for name, field in known.items() if "default" in field}
    return {**defaults, **given}


def _unknown(conn: Connection, kind: str, name: str) -> Refused:
    rows = conn.execute(select(method.c.kind, method.c.name).where(method.c.task != "ingest")).all()
    fitting = sorted(row.name for row in rows if row.kind == kind)
    others = sorted(row.kind for row in rows if row.name == name)
    if others:
        return Refused(
            "kind_mismatch",
            f"{name} needs {' or '.join(others)}; this is {kind}.",
            hint=f"These methods fit: {', '.join(fitting) or 'none yet'}.",
            pointer="/method",
        )
    near = difflib.get_close_matches(name, fitting, n=1)
    hint = (f"Did you mean {near[0]}? " if near else "") + f"Methods for {kind}: {', '.join(fitting) or 'none yet'}."
    return Refused("unknown_method", f"No worker announced a method {name} for {kind}.", hint=hint, pointer="/method")
