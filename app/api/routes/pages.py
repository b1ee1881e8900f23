"""/, /docs and /problems: the pages for people; none needs a key."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from app.api.documented import refusals
from app.api.openapi import TITLE
from app.api.pages.front import front
from app.api.pages.page import page
from app.api.pages.problems import every_problem, one_problem
from app.api.pages.reference import reference
from app.api.problem_codes import CODES
from app.api.problems import Problem

router = APIRouter(tags=["operations"], default_response_class=HTMLResponse)


@router.get("/", summary="What this is", responses=refusals())
async def get_front_page() -> HTMLResponse:
    """A page that says what the service is, with links to the rest."""
    return page(TITLE, front())


@router.get("/docs", summary="Reference as a page", responses=refusals())
def get_reference_page(request: Request) -> HTMLResponse:
    """This description as a page: operations by tag, schemas by name."""
    state = request.app.state
    if not hasattr(state, "reference"):
        state.reference = reference(request.app.openapi())  # as long as the process lives
    return page(f"{TITLE}: reference", state.reference)


@router.get("/problems", summary="Every problem code", responses=refusals())
async def list_problem_pages() -> HTMLResponse:
    """The codes of refusals and failed jobs, and what each means."""
    return page("Problems", every_problem())


@router.get("/problems/{code}", summary="Meaning of a problem", responses=refusals("not_found"))
async def get_problem_page(code: str) -> HTMLResponse:
    """The page that the `type` of a problem document names."""
    known = CODES.get(code)
    if known is None:
        raise Problem("not_found", "There is no problem of that code.", hint="GET /problems lists them.")
    return page(known.title, one_problem(code, known))
