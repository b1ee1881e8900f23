"""The refusals that every route may give, as OpenAPI wants them said."""

from __future__ import annotations

from typing import Any

from app.api.problem_codes import CODES
from app.api.problems import MEDIA_TYPE

_ALWAYS = (400, 413, 429, 431, 500)  # the gate, the rate limit, and our mistakes
_DATABASE_AWAY = 503


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: what any route may answer, and these statuses.

    What follows from the rest of an operation's description, `complete` adds.
    """
    return {status: _refusal(status) for status in sorted({*_ALWAYS, *statuses})}


def _refusal(status: int) -> dict[str, Any]:
    """A content of its own for every answer, because each gets the example of its status."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    return {"description": _codes(status), "content": content}


def binary(
    media_type: str = "application/octet-stream", *, ranges: bool = False, at_the_store: bool = False
) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route that answers with a file; `at_the_store`: perhaps with where else it is to be had."""
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    answers: dict[int | str, dict[str, Any]] = {200: {"description": "The whole file.", "content": content}}
    if ranges:
        answers[206] = {"description": "The range asked for.", "content": content}
        answers[304] = {"description": "The client has it already."}
        answers.update(refusals(404, 416))
    if at_the_store:
        location = {"description": "A presigned address; no key is to be sent there.", "schema": {"type": "string"}}
        answers[307] = {"description": "Fetch it from the store of the files.", "headers": {"Location": location}}
    return answers


def complete(operation: dict[str, Any]) -> None:
    """Add the refusals that follow from what an operation needs: a key, scopes, a body, valid parameters."""
    found: set[int] = set()
    for needed in operation.get("security", ()):
        found |= {401, _DATABASE_AWAY}
        for scheme, scopes in needed.items():
            if scopes:
                found.add(403)
                # OpenAPI 3.1 allows scopes of a bearer key, but many tools know them of OAuth 2 only.
                needed[scheme], operation["x-scopes"] = [], scopes
    if "requestBody" in operation:
        found.add(408)
        if "application/json" in operation["requestBody"]["content"]:
            found |= {415, 422}
    parameters = operation.get("parameters", ())
    if any(_can_be_wrong(parameter) for parameter in parameters):
        found.add(422)
    if any(parameter["name"] == "Idempotency-Key" for parameter in parameters):
        found |= {409, 422}
    answers: dict[str, Any] = operation["responses"]
    if MEDIA_TYPE not in answers.get("422", {}).get("content", {}):
        answers.pop("422", None)  # FastAPI's own, said of every operation with parameters and never answered
    answers.update({str(status): _refusal(status) for status in found})
    operation["responses"] = {status: answers[status] for status in sorted(answers)}


def _can_be_wrong(parameter: dict[str, Any]) -> bool:
    """Whether a value of it may be refused with 422: any text is a string, and pages and the headers of tus get 400."""
    if parameter["name"].startswith(("page_", "Tus-", "Upload-")):
        return False
    schema = parameter["schema"]
    return any(
        set(one) - {"title", "default", "description"} != {"type"} or one["type"] not in ("string", "null")
        for one in schema.get("anyOf", [schema])
    )


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
