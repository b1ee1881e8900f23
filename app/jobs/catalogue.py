"""The methods that workers announced, and parameters checked against them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jsonschema
from sqlalchemy import Connection, bindparam, select

from app.jobs.errors import Refused
from app.jobs.states import JobRow
from app.store.tables import method
from app.store.workers import unavailable_kinds

# Built once: building a statement takes several times as long as running it.
_METHOD = select(method).where(method.c.kind == bindparam("kind"), method.c.name == bindparam("name"))


def find_method(conn: Connection, kind: str, name: str, task: str | None) -> JobRow:
    """The method of that name for this kind of data; `Refused` says which would fit instead."""
    row = conn.execute(_METHOD, {"kind": kind, "name": name}).mappings().one_or_none()
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
    known: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
    _need_known("parameter", known, given, pointer)
    for error in _errors(schema, given):
        path = [str(part) for part in error.absolute_path]
        raise _invalid(error, pointer + _pointer(*path), known.get(path[0], {}) if path else {})
    return {**_defaults(known), **{name: _as_whole(known.get(name, {}), value) for name, value in given.items()}}


def _as_whole(schema: Mapping[str, Any], value: Any) -> Any:
    """JSON has one kind of number: 1e2 and 100.0 are 100 where whole numbers are asked for."""
    forms = [schema, *schema.get("anyOf", ())]
    types = {kind for form in forms for kind in _listed(form.get("type", ()))}
    whole = isinstance(value, float) and value.is_integer() and "integer" in types and "number" not in types
    return int(value) if whole else value


def _listed(types: str | Sequence[str]) -> Sequence[str]:
    return (types,) if isinstance(types, str) else types


def checked_reading(method: JobRow, options: Mapping[str, Any], columns: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the job that reads a dataset's files, by the `ingest` method of its kind; `Refused` points at
    the first option or column that is wrong, as `/options/...` or `/columns/...`.
    """
    schema: Mapping[str, Any] = method["params_schema"]
    known: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
    _need_known("option", [name for name in known if name != "columns"], options, "/options")
    roles = known["columns"].get("propertyNames", {}).get("enum") if "columns" in known else ()
    if roles is not None:
        _need_known("role", roles, columns, "/columns")
    given = {**options, "columns": dict(columns)} if "columns" in known else dict(options)
    for error in _errors(schema, given):
        path = [str(part) for part in error.absolute_path]
        of_columns = path[:1] == ["columns"]
        where = _pointer(*path) if of_columns else "/options" + _pointer(*path)
        raise _invalid(error, where, known.get(path[0], {}) if path else {})
    return {**_defaults(known), **{name: _as_whole(known.get(name, {}), value) for name, value in given.items()}}


def _need_known(what: str, known: Collection[str], given: Mapping[str, Any], pointer: str) -> None:
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = (f"Did you mean {near[0]}? " if near else "") + f"Known: {', '.join(sorted(known)) or 'none'}."
            raise Refused("invalid_params", f"There is no {what} {name}.", hint=hint, pointer=pointer + _pointer(name))


def _errors(schema: Mapping[str, Any], given: Mapping[str, Any]) -> list[jsonschema.ValidationError]:
    found = jsonschema.Draft202012Validator(dict(schema)).iter_errors(dict(given))
    return sorted(found, key=lambda error: [str(part) for part in error.absolute_path])


def _invalid(error: jsonschema.ValidationError, pointer: str, described: Mapping[str, Any]) -> Refused:
    hint = str(described.get("description", "See the method's schema at /v1/methods."))
    return Refused("invalid_params", f"{pointer.strip('/')}: {error.message}", hint=hint, pointer=pointer)


def _pointer(*names: str) -> str:
    """The end of a JSON pointer (RFC 6901)."""
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)


def _defaults(known: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {name: field["default"] for name, field in known.items() if "default" in field}


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
