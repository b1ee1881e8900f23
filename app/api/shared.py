"""What several operations of the description say in the same words, said once among its components."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

Document = Mapping[str, Any]


def resolved(part: Document, document: Document) -> Document:
    """A part of the description, or the component that it refers to."""
    if "$ref" not in part:
        return part
    found: Any = document
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def parameters_of(operation: Document, document: Document) -> list[Document]:
    """The parameters of an operation, wherever they are written."""
    return [resolved(one, document) for one in operation.get("parameters", ())]


def share_parameters(document: dict[str, Any]) -> None:
    """Make components of the parameters that several operations have, in place."""
    counted = Counter(_text(one) for operation in _operations(document) for one in operation.get("parameters", ()))
    shared: dict[str, Any] = document["components"].setdefault("parameters", {})
    for operation in _operations(document):
        for place, one in enumerate(operation.get("parameters", ())):
            if counted[_text(one)] < 2:
                continue
            # Two that differ may have one name: the first is called by it, the second by it and a 2.
            name = next(name for name in _names(one["name"]) if shared.setdefault(name, one) == one)
            operation["parameters"][place] = {"$ref": f"#/components/parameters/{name}"}


def simplify(part: Any) -> None:
    """Say schemas in fewer words, in place: no title that is the name of the field again, and `["string", "null"]` for
    a type or null, where pydantic writes two schemas."""
    if isinstance(part, list):
        for item in part:  # pyright: ignore[reportUnknownVariableType]
            simplify(item)
    if isinstance(part, dict):
        for name, one in part.items():  # pyright: ignore[reportUnknownVariableType]
            simplify(one)
            for schema in one.values() if name in ("properties", "schemas") else [one] if name == "schema" else ():
                schema.pop("title", None)
        match part:
            case {"anyOf": [{"type": str(kind), **rest}, {"type": "null"}]} if (
                "enum" not in rest and "const" not in rest
            ):
                del part["anyOf"]
                part.update(rest, type=[kind, "null"])
            case _:
                pass


def simplify_parameters(document: dict[str, Any]) -> None:
    """Say of parameters once what they are for, and not that they may be null: one that is not given is not sent."""
    for operation in _operations(document):
        for one in operation.get("parameters", ()):
            schema = one["schema"]
            schema.pop("description", None)
            if not one.get("required"):
                one.pop("required", None)
            given = [given for given in schema.get("anyOf", ()) if given != {"type": "null"}]
            if len(given) == 1:
                del schema["anyOf"]
                schema.update(given[0])


def _operations(document: Document) -> Iterator[dict[str, Any]]:
    for verbs in document["paths"].values():
        yield from verbs.values()


def _names(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}-{number}" for number in range(2, 100))


def _text(parameter: Document) -> str:
    return json.dumps(parameter, sort_keys=True)
