"""Forms made from a JSON Schema, and what was filled in as parameters of that schema.

A field that is left as it came is not sent: the method's own default counts. What cannot be read as what its field
takes is sent as it was typed, for the schema's check to refuse it where all else is checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.web import words

_FIRST = ("budget",)


@dataclass(frozen=True)
class Field:
    """One field. `sort`: `number`, `text`, `choice`, `switch`, `several` (of choices), `list` (between commas), `roles`
    (a text for each name) or `json`.

    `low`, `high`: bounds, as `over`/`under` when they are not allowed themselves. `value`: what it shows now.
    """

    name: str
    label: str
    sort: str
    help: str = ""
    default: Any = None
    value: Any = None
    required: bool = False
    choices: tuple[Any, ...] = ()
    roles: tuple[str, ...] = ()
    whole: bool = False
    low: float | None = None
    high: float | None = None
    pattern: str = ""
    may_be_left: bool = False
    error: str = ""
    bounds: str = ""
    items: str = field(default="", compare=False)

    @property
    def shown(self) -> str:
        """The value as the text of an input."""
        if self.value is None:
            return ""
        if isinstance(self.value, list):
            return ", ".join(str(one) for one in self.value)  # pyright: ignore[reportUnknownVariableType]
        if isinstance(self.value, Mapping):
            return json.dumps(self.value, ensure_ascii=False) if self.value else ""
        return str(self.value)

    @property
    def usual(self) -> str:
        """The default as text; empty where the method decides."""
        if self.default is None or self.default in ("", [], {}):
            return ""
        if isinstance(self.default, bool):
            return "on" if self.default else "off"
        return ", ".join(map(str, self.default)) if isinstance(self.default, list) else str(self.default)


def fields_of(
    schema: Mapping[str, Any],
    prefix: str,
    *,
    given: Mapping[str, Any] | None = None,
    errors: Mapping[str, str] | None = None,
) -> list[Field]:
    """The fields of a schema's properties, sizes first. `prefix`: of the names in the form. `given`: values by name;
    `errors`: what was wrong, by name."""
    properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
    required = schema.get("required", ())
    order = sorted(
        properties, key=lambda name: (name not in _FIRST, name not in required, list(properties).index(name))
    )
    return [
        _field(name, properties[name], prefix, name in required, given or {}, (errors or {}).get(name, ""))
        for name in order
    ]


def values_of(fields: Sequence[Field], filled: Mapping[str, list[str]]) -> dict[str, Any]:
    """The parameters that were filled in otherwise than they came."""
    found: dict[str, Any] = {}
    for one in fields:
        key = one.name
        name = key.partition(".")[2]
        value = _value(one, filled)
        if value is not None and value != one.default:
            found[name] = value
    return found


def _field(
    name: str, schema: Mapping[str, Any], prefix: str, required: bool, given: Mapping[str, Any], error: str
) -> Field:
    every = schema.get("anyOf", [schema])
    may_be_left = {"type": "null"} in every
    # A form that has no type of its own is another spelling of one that has.
    forms = [one for one in every if one.get("type") != "null" and isinstance(one.get("type"), str)] or [{}]
    default = schema.get("default")
    shared: dict[str, Any] = {
        "name": f"{prefix}.{name}",
        "label": words.label(name),
        "help": schema.get("description", ""),
        "default": default,
        "value": given.get(name, default),
        "required": required,
        "may_be_left": may_be_left,
        "error": error,
    }
    if len(forms) == 1:
        if may_be_left and forms[0].get("type") == "boolean":
            return Field(**shared, sort="choice", choices=(True, False))
        return Field(**shared, **_shape(forms[0]))
    # Several forms, such as 500, "1%" or "150kB": one text, that is a number when it reads as one.
    patterns = [one["pattern"] for one in forms if "pattern" in one]
    return Field(**shared, sort="text", pattern=patterns[0] if patterns else "", items="mixed")


def _shape(form: Mapping[str, Any]) -> dict[str, Any]:
    sort, items = form.get("type"), form.get("items", {})
    if "enum" in form or "const" in form:
        return {"sort": "choice", "choices": tuple(form.get("enum", [form.get("const")]))}
    if sort == "boolean":
        return {"sort": "switch"}
    if sort in ("integer", "number"):
        return {"sort": "number", "whole": sort == "integer", **_bounds(form)}
    if sort == "array" and "enum" in items:
        return {"sort": "several", "choices": tuple(items["enum"])}
    if sort == "array" and items.get("type") in ("string", "integer", "number"):
        return {"sort": "list", "items": items["type"]}
    if sort == "object" and "enum" in form.get("propertyNames", {}):
        return {"sort": "roles", "roles": tuple(form["propertyNames"]["enum"])}
    if sort == "string":
        return {"sort": "text", "pattern": form.get("pattern", "")}
    return {"sort": "json"}


def _bounds(form: Mapping[str, Any]) -> dict[str, Any]:
    low, over = form.get("minimum"), form.get("exclusiveMinimum")
    high, under = form.get("maximum"), form.get("exclusiveMaximum")
    said = [
        f"at least {words.number(low)}"
        if low is not None
        else f"above {words.number(over)}"
        if over is not None
        else ""
    ]
    said += [
        f"at most {words.number(high)}"
        if high is not None
        else f"below {words.number(under)}"
        if under is not None
        else ""
    ]
    return {
        "low": low if low is not None else over,
        "high": high if high is not None else under,
        "bounds": ", ".join(filter(None, said)),
    }


def _value(one: Field, filled: Mapping[str, list[str]]) -> Any:
    """What was filled into a field; None when it was left empty, or is not part of the form."""
    given = [text.strip() for text in filled.get(one.name, [])]
    text = given[-1] if given else ""
    match one.sort:
        case "switch":
            return None if f"{one.name}.shown" not in filled else text == "on"
        case "several":
            return None if f"{one.name}.shown" not in filled else given
        case "choice":
            return next((choice for choice in one.choices if str(choice) == text), text or None)
        case "list":
            parts = [part.strip() for part in text.split(",") if part.strip()]
            return [_plain(part) if one.items != "string" else part for part in parts] or None
        case "roles":
            chosen = {role: (filled.get(f"{one.name}.{role}") or [""])[-1].strip() for role in one.roles}
            return {role: _column(name) for role, name in chosen.items() if name} or None
        case "number":
            return _plain(text) if text else None
        case "json":
            return _json(text) if text else None
        case _:
            return (_plain(text) if one.items == "mixed" else text) if text else None


def _plain(text: str) -> Any:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return text


def _column(text: str) -> str | int:
    return int(text) if text.isascii() and text.isdigit() else text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
