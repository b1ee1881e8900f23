"""Problem documents (RFC 9457): every refusal of the API has a stable code, and every code has a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from app.api.problem_codes import CODES, Code
from app.jobs.errors import Refused

MEDIA_TYPE = "application/problem+json"


class Problem(HTTPException):
    """A refusal. `code`: one of `CODES`; `hint`: the cure; `pointer`: JSON pointer of the field at fault."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        hint: str = "",
        pointer: str = "",
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        known = kind_of(code)
        super().__init__(known.status, detail or known.meaning, headers=dict(headers or {}))
        self.code = code
        self.hint = hint
        self.errors = [dict(error) for error in errors]
        if pointer and not self.errors:
            self.errors = [{"pointer": pointer, "code": code, "detail": self.detail}]


def kind_of(code: str) -> Code:
    """What is known of a code; one that a plug-in brings itself counts as a refused request."""
    return CODES.get(code) or Code(422, code.replace("_", " ").capitalize(), "The request cannot be granted.")


def fallback_hint(code: str) -> str:
    """Where to read on when there is nothing more particular to say."""
    return f"GET /problems/{code} explains it."


def with_hint(error: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The error of a job or a version, with a hint where its worker had nothing more particular to say."""
    return {**error, "hint": error.get("hint") or fallback_hint(error["code"])} if error else None


def of_refused(refused: Refused) -> Problem:
    """The problem that says what `app.jobs` refused."""
    headers = {"Retry-After": "30"} if refused.code == "queue_full" else None
    return Problem(refused.code, refused.detail, hint=refused.hint, pointer=refused.pointer, headers=headers)


def example_of(code: str) -> dict[str, Any]:
    """The document of a code as the description shows it."""
    known = CODES[code]
    return {
        "type": f"https://distillery.example.com/problems/{code}",
        "title": known.title,
        "status": known.status,
        "detail": known.meaning,
        "instance": "/v1/jobs",
        "code": code,
        "errors": [],
        "hint": fallback_hint(code),
        "request_id": "req_06dc1m9f1w3y5a7c9e2g4j6mnr",
    }


def render(request: Request, problem: Problem) -> JSONResponse:
    """The document, with the request it is about."""
    known = kind_of(problem.code)
    document: dict[str, Any] = {
        "type": f"{request.base_url}problems/{problem.code}",
        "title": known.title,
        "status": problem.status_code,
        "detail": problem.detail,
        "instance": request.url.path,
        "code": problem.code,
        "errors": problem.errors,
        "hint": problem.hint or fallback_hint(problem.code),
        "request_id": request.scope.get("distillery.request_id", ""),
    }
    return JSONResponse(document, problem.status_code, dict(problem.headers or {}), media_type=MEDIA_TYPE)
