"""Examples for every operation, made from the schemas: a value for each field's name, else the first its type allows.

So a new field has an example, and no example can contradict its schema; a test validates them all.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]
_IDS = {
    "dataset": "ds_06dc1m8yk2v9t3q5w7x4z1b0ra",
    "job": "job_06dc1m9f3x8c2n7q4t6v5w0zsb",
    "summary": "sum_06dc1mcd2y4h6p8r0s3v5x7zte",
    "report": "rep_06dc1mcd9q1k3m5n7p9r2t4vwf",
    "key": "key_06dc1m2a4c6e8g0j3m5p7r9tvg",
    "upload": "upl_06dc1m4b6d8f0h2k5n7q9s1vxh",
    "webhook": "wh_06dc1m5c7e9g1j3m6p8r0t2wyj",
    "delivery": "msg_06dc1m6d8f0h2k4n7q9s1v3xzk",
}
_NAMED: dict[str, Any] = {
    **{f"{name}_id": value for name, value in _IDS.items()},
    **_IDS,
    "dataset": _IDS["dataset"] + "@1",
    "reference": _IDS["dataset"] + "@1",
    "url": "https://hooks.example.com/distillery",
    "path": "clicks.csv",
    "name": "shop clicks",
    "kind": "interactions",
    "method": "distill-cf",
    "task": "distil",
    "queue": "cpu",
    "device": "cpu",
    "code": "unknown_dataset",
    "next_page_token": "",
    "request_id": "req_06dc1m9f1w3y5a7c9e2g4j6mnr",
    "scopes": ["datasets:read", "jobs:write"],
    "labels": {"team": "search"},
    "progress": {"phase": "distil", "step": 40, "total": 150, "fraction": 0.3, "eta_s": 12.5, "metrics": {}},
    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
}
_TYPED: dict[str, Any] = {"integer": 1, "number": 1.0, "boolean": False, "string": "text", "object": {}, "array": []}
_TIME = "2026-01-05T09:30:00Z"


def add_examples(document: dict[str, Any]) -> None:
    """Give every path parameter and every schema of a JSON answer an example, in place."""
    schemas: Mapping[str, dict[str, Any]] = document["components"]["schemas"]
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and "example" not in parameter:
                    parameter["example"] = _value(parameter["name"], parameter["schema"], schemas)
            for answer in operation["responses"].values():
                _add_to_answer(answer, schemas)


def _add_to_answer(answer: dict[str, Any], schemas: Mapping[str, dict[str, Any]]) -> None:
    for media_type, content in answer.get("content", {}).items():
        if "example" in content or "examples" in content:
            continue
        if media_type != "application/json" or not content.get("schema"):
            continue
        if "$ref" in content["schema"]:
            named = _named(content["schema"], schemas)
            owner = re.sub("(View|Item|Created|Detail)$", "", named.get("title", "")).lower()
            named.setdefault("examples", [_value(owner, named, schemas)])
        else:
            content["example"] = _value("", content["schema"], schemas)


def _named(reference: Schema, schemas: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """The schema that has the example: of a list, that of its items."""
    schema = schemas[reference["$ref"].rpartition("/")[2]]
    return (
        _named(schema["properties"]["items"]["items"], schemas) if "next_page_token" in schema["properties"] else schema
    )


def _value(name: str, schema: Schema, schemas: Mapping[str, Schema]) -> Any:
    if "$ref" in schema:
        return _value(name, schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "examples" in schema and "properties" not in schema:
        return schema["examples"][0]
    if "anyOf" in schema:  # an optional field: show it filled
        return _value(name, schema["anyOf"][0], schemas)
    if "const" in schema or "enum" in schema:
        allowed: list[Any] = [schema["const"]] if "const" in schema else schema["enum"]
        return _NAMED[name] if _NAMED.get(name) in allowed else allowed[0]
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        return {field: _value(_qualified(name, field), inner, schemas) for field, inner in schema["properties"].items()}
    if kind == "array" and name not in _NAMED:
        return [_value(name.removesuffix("s"), schema["items"], schemas)] if schema.get("items") else []
    if _fits(_NAMED.get(name), kind):
        return _NAMED[name]
    if kind == "string":
        return _text(name, schema)
    if kind in ("integer", "number") and "minimum" in schema:
        return schema["minimum"]
    return _TYPED.get(str(kind), {})


def _qualified(owner: str, field: str) -> str:
    return owner if field == "id" and owner in _IDS else field


def _fits(value: Any, kind: Any) -> bool:
    wanted = {"string": str, "object": dict, "array": list, "integer": int, "number": float}.get(str(kind))
    return wanted is not None and isinstance(value, wanted)


def _text(name: str, schema: Schema) -> str:
    if schema.get("format") == "date-time":
        return _TIME
    if "sha256" in name or "hash" in name or "64" in schema.get("pattern", ""):
        return hashlib.sha256(name.encode()).hexdigest()
    return "text"
