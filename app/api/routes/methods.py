"""/v1/methods: the catalogue that the workers announced."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from app.api.answers import tagged
from app.api.documented import UNCHANGED, refusals
from app.api.pagination import Page, Pager
from app.api.problems import Problem
from app.api.schemas.common import Name
from app.api.schemas.results import MethodList, MethodView
from app.api.security import JobReader
from app.api.transactions import TransactionRoute
from app.store import methods as store

router = APIRouter(prefix="/v1/methods", tags=["methods"], route_class=TransactionRoute)


@router.get("", response_model=MethodList, responses=refusals(), summary="List methods")
def list_methods(
    caller: JobReader,
    page: Page,
    kind: Annotated[Name | None, Query(description="Only for this kind of data.")] = None,
    task: Annotated[Name | None, Query(description="Only for this task.")] = None,
) -> MethodList:
    """What can be run now, by kind and name."""
    pager = Pager.of(page, caller.services.settings.secret, caller.tenant_id, "methods", kind=kind, task=task)
    after = pager.after()
    rows = store.list_methods(
        caller.conn, kind=kind, task=task, after=(after[0], after[1]) if after else None, limit=pager.limit
    )
    return MethodList.model_validate(pager.answer(rows, MethodView.of, keys=("kind", "name")))


@router.get(
    "/{kind}/{name}",
    response_model=MethodView,
    responses={**UNCHANGED, **refusals("not_found")},
    summary="Get a method",
)
def get_method(request: Request, caller: JobReader, kind: str, name: str) -> Response:
    """One method: the schema of its parameters, defaults, device, cost hints, paper."""
    row = store.get_method(caller.conn, kind, name)
    if row is None:
        raise Problem("not_found", f"No worker announced a method {name} for {kind}.")
    return tagged(request, MethodView.of(row))
