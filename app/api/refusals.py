"""What the framework and `app.jobs` refuse, as problem documents."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.api.problems import Problem, of_refused, render
from app.jobs.errors import Refused

_BY_STATUS = {
    400: "malformed_json",  # the only 400 of the framework: "There was an error parsing the body"
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
}


def install(app: FastAPI) -> None:
    """Render every refusal of this application as a problem."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Refused, _refused)


def _http(request: Request, error: Exception) -> Response:
    if isinstance(error, Problem):
        return render(request, error)
    assert isinstance(error, HTTPException)  # noqa: S101 - how this handler is installed
    headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
    return render(request, Problem(_BY_STATUS.get(error.status_code, "internal"), headers=headers))


def _allowed(request: Request) -> str:
    """Every method that the address takes; the framework names only those of the first route that fits.

    An address that several templates fit (`{id}.html` and `{id}`) is that of the one with the most text of its own.
    """
    described: Mapping[str, Mapping[str, Any]] = request.app.openapi()["paths"]
    fitting: list[tuple[int, str]] = []
    for template in described:
        pieces = list(_parts(template))
        parts = (".+" if name == "{path}" else "[^/]+" if name else re.escape(text) for text, name in pieces)
        if re.fullmatch("".join(parts), request.url.path):
            fitting.append((sum(len(text) for text, _ in pieces), template))
    return ", ".join(sorted(verb.upper() for verb in described[max(fitting)[1]])) if fitting else ""


def _parts(template: str) -> Iterator[tuple[str, str]]:
    """The pieces of a path template: (text, "") or ("", "{name}")."""
    for piece in re.split(r"({[^}]*})", template):
        yield ("", piece) if piece.startswith("{") else (piece, "")


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - how this handler is installed
    return render(request, of_refused(error))


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - how this handler is installed
    found: Sequence[dict[str, Any]] = error.errors()
    first = found[0]
    if first["type"] == "json_invalid":
        reason = first["ctx"]["error"]
        return render(request, Problem("malformed_json", f"The body is not JSON: {reason}."))
    if any(item["loc"] == ("body",) and item["type"] != "missing" for item in found) and not _is_json(request):
        return render(request, Problem("unsupported_media_type"))
    errors = [_described(item) for item in found]
    code = "invalid_page" if errors[0]["pointer"] in ("page_size", "page_token") else "invalid_request"
    detail = f"{errors[0]['pointer'] or 'The body'}: {errors[0]['detail']}"
    hint = "Correct what `errors` points at; /docs describes every field and parameter."
    return render(request, Problem(code, detail, hint=hint, errors=errors))


def _described(item: dict[str, Any]) -> dict[str, str]:
    where, *path = item["loc"]
    parts = [str(part).replace("~", "~0").replace("/", "~1") for part in path]
    # A JSON pointer for what is in the body; the bare name for query, path and header parameters.
    pointer = "".join(f"/{part}" for part in parts) if where == "body" else ".".join(parts)
    message = str(item["msg"]).removeprefix("Value error, ")
    return {"pointer": pointer, "code": str(item["type"]), "detail": message}


def _is_json(request: Request) -> bool:
    subtype = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return subtype == "application/json" or (subtype.startswith("application/") and subtype.endswith("+json"))
