"""The reference of the API as a page, rendered from its OpenAPI document: operations by tag, then schemas by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from app.api.pages.page import prose, table
from app.api.shared import parameters_of, resolved

Document = Mapping[str, Any]
_SCHEMAS = "#/components/schemas/"


def reference(document: Document) -> str:
    """The body of the page."""
    operations = [
        (verb.upper(), path, operation)
        for path, verbs in document["paths"].items()
        for verb, operation in verbs.items()
    ]
    sections: list[str] = []
    contents: list[str] = []
    for tag in document["tags"]:
        mine = [one for one in operations if tag["name"] in one[2]["tags"]]
        links = "".join(f"<li>{_link(one[2]['operationId'], one[2]['summary'])}</li>" for one in mine)
        contents.append(f"<h4>{escape(tag['name'])}</h4><ul>{links}</ul>")
        shown = "".join(_operation(*one, document) for one in mine)
        sections.append(f"<h2>{escape(tag['name'].capitalize())}</h2>{prose(tag['description'])}{shown}")
    schemas: Mapping[str, Document] = document["components"]["schemas"]
    sections.append("<h2>Schemas</h2>" + "".join(_schema(name, schemas[name]) for name in sorted(schemas)))
    info = document["info"]
    return (
        f"<h1>{escape(info['title'])} API {escape(info['version'])}</h1>{prose(info['description'])}"
        '<p>The same for programs: <a href="/openapi.json">openapi.json</a>. '
        'What each problem code means: <a href="/problems">problems</a>.</p>'
        f"<nav>{''.join(contents)}</nav>{''.join(sections)}"
    )


def _operation(verb: str, path: str, operation: Document, document: Document) -> str:
    scopes = ", ".join(f"<code>{escape(scope)}</code>" for scope in operation.get("x-scopes", ()))
    needs = f"Needs a key with {scopes}." if scopes else "Needs a key." if _needs_key(operation) else "Needs no key."
    parts = [
        f'<section id="{escape(operation["operationId"])}"><h3>{escape(operation["summary"])}</h3>',
        f'<p><span class="verb">{verb}</span> <code>{escape(path)}</code></p>',
        prose(operation["description"]),
        f'<p class="dim">{needs}</p>',
        _parameters(parameters_of(operation, document)),
        *(_body(kind, content) for kind, content in operation.get("requestBody", {}).get("content", {}).items()),
        _answers(operation["responses"], document),
        "</section>",
    ]
    return "".join(parts)


def _needs_key(operation: Document) -> bool:
    return any(needed for needed in operation.get("security", ()))


def _parameters(parameters: Any) -> str:
    rows = [
        [
            f"<code>{escape(one['name'])}</code>",
            one["in"] + (", required" if one.get("required") else ""),
            _type(one["schema"]),
            prose(one.get("description", "")),
        ]
        for one in parameters
    ]
    return table(["Parameter", "in", "type", ""], rows)


def _body(media_type: str, content: Document) -> str:
    schema = content.get("schema", {})
    return f"<h4>Body</h4><p>{_type(schema)} <span class='dim'>as {escape(media_type)}</span></p>"


def _answers(responses: Document, document: Document) -> str:
    rows: list[list[str]] = []
    examples: list[str] = []
    for status, answer in ((status, resolved(answer, document)) for status, answer in responses.items()):
        contents = answer.get("content", {})
        kinds = "<br>".join(_type(one.get("schema", {})) for one in contents.values())
        codes = ", ".join(f'<a href="/problems/{code}"><code>{code}</code></a>' for code in answer.get("x-codes", ()))
        rows.append([status, kinds, codes or prose(answer.get("description", ""))])
        if status < "300":
            examples += [_example(shown) for one in contents.values() if (shown := _shown(one, document)) is not None]
    return table(["Answer", "type", ""], rows) + "".join(dict.fromkeys(examples))


def _shown(content: Document, document: Document) -> Any:
    """An example of an answer: its own or that of its schema; a list shows that of its items."""
    schema = resolved(content.get("schema", {}), document)
    if "next_page_token" in schema.get("properties", {}):
        items = resolved(schema["properties"]["items"]["items"], document)
        return {"items": items["examples"][:1], "next_page_token": ""}
    return content.get("example", schema.get("examples", [None])[0])


def _example(value: Any) -> str:
    text = escape(json.dumps(value, indent=2, ensure_ascii=False), quote=False)
    return f"<details><summary>Example</summary><pre>{text}</pre></details>"


def _schema(name: str, schema: Document) -> str:
    required = schema.get("required", ())
    rows = [
        [
            f"<code>{escape(field)}</code>",
            _type(one) + (", required" if field in required and "default" not in one else ""),
            prose(one.get("description", "")),
        ]
        for field, one in schema.get("properties", {}).items()
    ]
    examples = "".join(_example(one) for one in schema.get("examples", ()))
    shown = table(["Field", "type", ""], rows) if rows else f"<p>{_type(schema)}</p>"
    about = f"<h3>{escape(name)}</h3>{prose(schema.get('description', ''))}"
    return f'<section id="{escape(name)}">{about}{shown}{examples}</section>'


def _type(schema: Document) -> str:
    """A schema in few words, with links to those that have a name."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_SCHEMAS)
        return _link(name, name)
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return " | ".join(f"<code>{escape(json.dumps(value))}</code>" for value in values)
    kind = schema.get("type", "any JSON")
    if isinstance(kind, list):
        return " or ".join(_type({**schema, "type": one}) for one in kind)  # pyright: ignore[reportUnknownArgumentType]
    kind = schema.get("format", kind) if kind == "string" else kind
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    inner = schema.get("additionalProperties")
    if kind == "object" and isinstance(inner, Mapping) and inner:
        return f"object of {_type(inner)}"  # pyright: ignore[reportUnknownArgumentType]
    return escape(str(kind))


def _link(anchor: str, text: str) -> str:
    return f'<a href="#{escape(anchor)}">{escape(text)}</a>'
