"""From a template and its values to a page: what every page has, and the policy that keeps it to itself."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import Response

from app.api.openapi import TITLE, VERSION
from app.api.problems import Problem, kind_of
from app.api.security import Caller
from app.api.sessions import cookie_of, token_of
from app.web import charts, words

_FOLDER = Path(__file__).parent
STATIC = _FOLDER / "static"
POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",  # `no-referrer` would take the origin from our own forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_WORTH_IT = 1000  # bytes


def page(
    request: Request, template: str, *, caller: Caller | None = None, status: int = 200, **values: Any
) -> Response:
    """The answer: a template with its values; `caller`: who has signed in."""
    secret = request.app.state.services.settings.secret
    session = cookie_of(request.scope)
    shared = {
        "path": request.url.path,
        "who": caller.identity if caller else None,
        "csrf_token": token_of(secret, session) if session else "",
        "title": TITLE,
        "version": VERSION,
    }
    return sent(request, _environment().get_template(template).render(shared | values), "text/html", status=status)


def sent(
    request: Request, text: str, media_type: str, *, status: int = 200, headers: Mapping[str, str] = HEADERS
) -> Response:
    """The answer with this text, compressed for who takes that: a report is a long page."""
    body, named = text.encode("utf-8", "replace"), {**headers, "Vary": "Accept-Encoding"}
    if len(body) > _WORTH_IT and "gzip" in request.headers.get("accept-encoding", ""):
        body, named["Content-Encoding"] = gzip.compress(body, 6, mtime=0), "gzip"
    return Response(body, status, named, media_type=f"{media_type}; charset=utf-8")


def part(template: str, **values: Any) -> str:
    """A part of a page, as text."""
    return _environment().get_template(template).render(values)


def problem_page(request: Request, problem: Problem) -> Response:
    """The page that says what was refused, and what to do."""
    known = kind_of(problem.code)
    answer = page(
        request,
        "problem.html",
        status=problem.status_code,
        heading=known.title,
        detail=problem.detail,
        hint=problem.hint,
        code=problem.code,
        request_id=request.scope.get("distillery.request_id", ""),
    )
    for name in ("Retry-After", "Allow"):
        if problem.headers and name in problem.headers:
            answer.headers[name] = problem.headers[name]
    return answer


@cache
def address_of(name: str) -> str:
    """The address of a static file; it changes with the file, so a browser may keep it for ever."""
    return f"/ui/static/{name}?v={hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    known: dict[str, Any] = {"static": address_of, "charts": charts, "tasks": words.TASKS}
    cast(dict[str, Any], environment.globals).update(known)
    named = ("number", "size", "duration", "moment", "ago", "took", "label", "state", "task_name", "prose")
    filters = cast(dict[str, Any], environment.filters)
    filters.update({name: getattr(words, name) for name in named})
    filters["as_json"] = lambda value: json.dumps(value, ensure_ascii=False, default=str)
    return environment
