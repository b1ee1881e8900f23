"""The refusals that every route may give, as OpenAPI wants them said."""

from __future__ import annotations

from typing import Any

from app.api.problem_codes import CODES
from app.api.problems import MEDIA_TYPE

_ALWAYS = (400, 401, 403, 405, 408, 413, 422, 429, 431, 500, 503)
_REFERENCE = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: what any route may answer, and these statuses."""
    return {status: {"description": _codes(status), "content": _REFERENCE} for status in sorted({*_ALWAYS, *statuses})}


def binary(media_type: str = "application/octet-stream", *, ranges: bool = False) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route that answers with a file."""
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    answers: dict[int | str, dict[str, Any]] = {200: {"description": "The whole file.", "content": content}}
    if ranges:
        answers[206] = {"description": "The range asked for.", "content": content}
        answers[304] = {"description": "The client has it already."}
        answers.update(refusals(404, 416))
    return answers


# `openapi_extra=` of a route that answers 428 without the header, as `app.api.answers.need_match` does.
IF_MATCH: dict[str, Any] = {
    "parameters": [
        {
            "name": "If-Match",
            "in": "header",
            "required": True,
            "description": "The ETag it was read with; `*` skips the check.",
            "schema": {"type": "string"},
            "example": "*",
        }
    ]
}
UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "The client has it already."}}


def _codes(status: int) -> str:
    return "One of: " + ", ".join(code for code, known in CODES.items() if known.status == status) + "."
