"""The API's description: `python -m app.main openapi > openapi.json` writes the committed copy."""

from __future__ import annotations

import json
import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.api.documented import OF_ANY_REQUEST, complete
from app.api.examples import add_examples
from app.api.problem_codes import CODES
from app.api.problems import example_of
from app.api.schemas.common import ProblemDocument
from app.api.shared import share_parameters, simplify, simplify_parameters

VERSION = "0.1.0"
TITLE = "Distillery"
SUMMARY = "Turns a large dataset into a tiny summary that trains models as well as the whole, with the evidence."
DESCRIPTION = (
    "Upload a dataset, run a method on it as a job, fetch the summary and the evidence of how good it is. Requests "
    "carry `Authorization: Bearer dsk_...`; refusals are problem documents (RFC 9457) with a stable `code`, and the "
    "`x-codes` of an answer are those it may have. Whatever the operation, a request that is no proper HTTP, or too "
    "large, is refused: "
    + ", ".join(f"{CODES[code].status} `{code}`" for code in OF_ANY_REQUEST)
    + ". Times are RFC 3339 in UTC; a number of seconds has a name that ends in `_s`."
)
TAGS = {
    "datasets": "What was uploaded.",
    "files": "Files of the next version.",
    "uploads": "Files that arrive in pieces (tus 1.0.0).",
    "versions": "Immutable versions of a dataset.",
    "methods": "What can be done with a kind of data.",
    "jobs": "Runs of a method on a version.",
    "summaries": "What jobs make.",
    "reports": "How good it is, and how that was measured.",
    "webhooks": "Who is told what happened.",
    "account": "API keys.",
    "operations": "Health, metrics, and what problem codes mean.",
}


def describe(app: FastAPI) -> None:
    """Give the application its title, and the document its problem schema."""
    app.title, app.version, app.summary = TITLE, VERSION, SUMMARY
    app.openapi_tags = [{"name": name, "description": text} for name, text in TAGS.items()]

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi


def rendered(app: FastAPI) -> str:
    """The description as the text of `openapi.json`, each reference on one line."""
    text = json.dumps(app.openapi(), indent=1, sort_keys=True)
    return re.sub(r'\{\s+("\$ref": "[^"]+")\s+\}', r"{\1}", text) + "\n"


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=DESCRIPTION,
        contact={"name": "The authors of Distillery"},
        license_info={"name": "Apache 2.0", "identifier": "Apache-2.0"},
        servers=[{"url": "/", "description": "Where this document came from."}],
        routes=app.routes,
        tags=app.openapi_tags,
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["ProblemDocument"] = {**problem, "examples": [example_of("not_found")]}
    # FastAPI's own shape of a 422 is never answered: every refusal is a problem document.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for operations in document["paths"].values():
        for operation in operations.values():
            complete(operation, document["components"])
    add_examples(document)
    simplify_parameters(document)
    simplify(document)
    share_parameters(document)
    return document
