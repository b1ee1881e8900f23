"""Routes of the pages: refusals are pages, too, and a form that comes from elsewhere changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import parse_qs, quote

import structlog
from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from app.api.middleware import of_error
from app.api.problems import Problem, of_refused
from app.api.services import services_of
from app.api.sessions import cookie_of, is_token
from app.api.transactions import TransactionRoute
from app.jobs.errors import Refused
from app.web.render import problem_page

Fields = dict[str, list[str]]
log = structlog.get_logger()


class PageRoute(TransactionRoute):
    """A route that answers people: with a page whatever goes wrong, and with the sign-in to who has not signed in."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler between the check of the form and the pages of refusals."""
        handler = super().get_route_handler()

        async def answered(request: Request) -> Response:
            try:
                if request.method not in ("GET", "HEAD"):
                    request.state.fields = await _checked_fields(request)
                return await handler(request)
            except Exception as error:
                problem = _problem_of(error)
                if problem.code == "unauthenticated":
                    return to_sign_in(request)
                if problem.status_code == 500:
                    log.exception("page_failed")
                return problem_page(request, problem)

        return answered


def to_sign_in(request: Request) -> Response:
    """Go to the sign-in, and come back afterwards; a part of a page is told to go there as a whole."""
    back = request.url.path if request.method == "GET" and not is_part(request) else "/ui"
    if request.method == "GET" and request.url.query and back != "/ui":
        back += f"?{request.url.query}"
    address = "/ui/sign-in" if back == "/ui" else f"/ui/sign-in?next={quote(back, safe='')}"
    if is_part(request):
        return Response(status_code=200, headers={"HX-Redirect": address})
    return RedirectResponse(address, 303)


def is_part(request: Request) -> bool:
    """Whether a page asks for a part of itself."""
    return request.headers.get("hx-request") == "true"


async def _checked_fields(request: Request) -> Fields:
    """The fields of a form; refused unless it was made by a page of the session, or of nobody's at this address."""
    body = await request.body()
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=1000)
    session = cookie_of(request.scope)
    given = request.headers.get("x-csrf-token") or fields.pop("csrf_token", [""])[0]
    signing_in = request.url.path == "/ui/sign-in"
    own = _same_origin(request)
    if own and (signing_in or is_token(services_of(request).settings.secret, session, given)):
        return fields
    if not session:
        raise Problem("unauthenticated")
    raise Problem("forbidden", "This form is not of your session.", hint="Load the page again, and send it again.")


def _same_origin(request: Request) -> bool:
    """Whether a browser says that a page of this address sends the form; what is no browser says nothing."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host")


def _fields(request: Request) -> Fields:
    return request.state.fields


Form = Annotated[Fields, Depends(_fields)]
"""What was filled in: the values of each field."""


def _problem_of(error: Exception) -> Problem:
    match error:
        case Refused():
            return of_refused(error)
        case RequestValidationError():
            return Problem("invalid_request", "The address has a part that is not as it should be.")
        case HTTPException() if not isinstance(error, Problem):
            return Problem("not_found" if error.status_code == 404 else "method_not_allowed")
        case _:
            return of_error(error)
