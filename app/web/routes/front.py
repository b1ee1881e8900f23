"""/ui: where to begin; and what is at no address."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.problems import Problem
from app.api.routes import datasets, jobs
from app.api.security import Caller, calling
from app.web import bundled
from app.web.ask import first_page, names_of
from app.web.render import page
from app.web.route import PageRoute

router = APIRouter(route_class=PageRoute)
Looker = Annotated[Caller, calling("datasets:read", "jobs:read", reads=True)]


@router.get("/ui")
def front(request: Request, caller: Looker) -> Response:
    """The way to a first summary, or what was done last."""
    own = datasets.list_datasets(caller, first_page(size=5)).items
    last = jobs.list_jobs(caller, first_page(size=5)).items
    return page(
        request,
        "front.html",
        caller=caller,
        datasets=own,
        jobs=last,
        names=names_of(caller, [job.dataset for job in last]),
        bundled=bundled.offered(caller),
    )


@router.api_route("/ui/{path:path}", methods=["GET", "POST"])
async def nothing(request: Request, path: str) -> Response:
    """There is no such page."""
    raise Problem("not_found", "There is no page at this address.", hint="Go on from the start page.")
