"""What every route may answer, as OpenAPI wants it said: a route states the problem codes that it raises itself, and
those that follow from the rest of its description (a key, scopes, a body, parameters) are added to them.

A test holds every answer of the API's tests against this, so that no code is answered that was not stated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.api.problem_codes import CODES
from app.api.problems import MEDIA_TYPE
from app.api.shared import resolved

_STATED = "x-codes"
_SHARED = {"304": "unchanged", "307": "at_the_store"}  # answers that are the same wherever they are given
_ALWAYS = ("unknown_parameter", "rate_limited", "too_many_open", "busy", "internal")
OF_ANY_REQUEST = ("malformed_request", "payload_too_large", "headers_too_large")
"""What no request made from the description is answered; said once, in the words about the whole."""
_NAMED = 3  # codes that a shared answer is named by; with more it is named by its operation
_FILES = ("store_unavailable", "corrupt_blob")
MAKES_JOB = (
    "invalid_params",
    "unknown_method",
    "unsupported_device",
    "quota_exceeded",
    "queue_full",
    "limit_too_large",
)
"""What a route that creates any job may raise."""

UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "The client has it already."}}


def refusals(*codes: str) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route that raises problems of these codes itself."""
    stated: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        stated.setdefault(CODES[code].status, {"description": "", _STATED: []})[_STATED].append(code)
    return stated


def binary(
    media_type: str = "application/octet-stream", *, ranges: bool = False, at_the_store: bool = False
) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route that answers with a file; `at_the_store`: perhaps with where else it is to be had."""
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    answers: dict[int | str, dict[str, Any]] = {200: {"description": "The whole file.", "content": content}}
    if ranges:
        answers[206] = {"description": "The range asked for.", "content": content}
        answers.update(UNCHANGED)
        answers.update(refusals("not_found", "range_not_satisfiable", *_FILES))
    if at_the_store:
        location = {"description": "A presigned address; no key is to be sent there.", "schema": {"type": "string"}}
        answers[307] = {"description": "Fetch it from the store of the files.", "headers": {"Location": location}}
    return answers


def complete(operation: dict[str, Any], components: dict[str, Any]) -> None:
    """Write out every refusal of an operation. The document of a refusal is a component, shared by all that have it."""
    answers: dict[str, Any] = operation["responses"]
    codes = {*_ALWAYS, *_implied(operation)}
    for status in list(answers):
        if _STATED in answers[status]:
            codes.update(answers.pop(status)[_STATED])
    if any(content.get("schema", {}).get("$ref", "").endswith("ValidationError") for content in _contents(answers)):
        del answers["422"]  # FastAPI's own, said of every operation with parameters and never answered
    by_status: dict[int, list[str]] = {}
    for code in sorted(codes):
        by_status.setdefault(CODES[code].status, []).append(code)
    for status, together in by_status.items():
        name = "-".join(together) if len(together) <= _NAMED else f"{operation['operationId']}-{status}"
        components.setdefault("responses", {}).setdefault(name, _refusal(together))
        answers[str(status)] = {"$ref": f"#/components/responses/{name}"}
    for answer in answers.values():
        if answer.get("description") == "Successful Response":  # FastAPI's, which says nothing
            answer["description"] = "Done."
    for status, name in _SHARED.items():
        if status in answers:
            components["responses"].setdefault(name, answers[status])
            answers[status] = {"$ref": f"#/components/responses/{name}"}
    operation["responses"] = {status: answers[status] for status in sorted(answers)}


def codes_of(operation: Mapping[str, Any], document: Mapping[str, Any]) -> set[str]:
    """The codes that a completed operation may answer."""
    answers = (resolved(answer, document) for answer in operation["responses"].values())
    return {code for answer in answers for code in answer.get(_STATED, ())}


def _refusal(codes: list[str]) -> dict[str, Any]:
    """`x-codes` says for programs what the description says for people."""
    meanings = [CODES[code].meaning for code in codes]
    described = (
        meanings if len(codes) == 1 else [f"`{code}`: {text}" for code, text in zip(codes, meanings, strict=True)]
    )
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}}
    return {"description": " ".join(described), _STATED: codes, "content": content}


def _implied(operation: dict[str, Any]) -> Iterator[str]:
    """The codes that follow from what an operation needs."""
    for needed in operation.get("security", ()):
        yield from ("unauthenticated", "database_unavailable")
        for scheme, scopes in needed.items():
            if scopes:
                yield "forbidden"
                # OpenAPI 3.1 allows scopes of a bearer key, but many tools know them of OAuth 2 only.
                needed[scheme], operation["x-scopes"] = [], scopes
    if "requestBody" in operation:
        yield from ("request_timeout", "payload_too_large", "insufficient_storage")
        if "application/json" in operation["requestBody"]["content"]:
            yield from ("malformed_json", "unsupported_media_type", "invalid_request")
    for parameter in operation.get("parameters", ()):
        if parameter["name"].startswith("page_"):
            yield "invalid_page"
        elif parameter["name"] == "Idempotency-Key":
            yield from ("idempotency_in_progress", "idempotency_key_reused", "invalid_request")
        elif parameter["name"] == "If-Match":
            yield from ("precondition_required", "precondition_failed")
        elif parameter["name"] == "Tus-Resumable":
            yield from ("tus_version", "malformed_request")
        elif _can_be_wrong(parameter):
            yield "invalid_request"


def _can_be_wrong(parameter: dict[str, Any]) -> bool:
    """Whether a value of it may be refused with 422: any text is a string, and the headers of tus get 400."""
    if parameter["name"].startswith("Upload-"):
        return False
    schema = parameter["schema"]
    return any(
        set(one) - {"title", "default", "description"} != {"type"} or one["type"] not in ("string", "null")
        for one in schema.get("anyOf", [schema])
    )


def _contents(answers: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from answers.get("422", {}).get("content", {}).values()


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
