"""/ui/methods: the catalogue, as the workers announced it."""

from __future__ import annotations

from itertools import groupby

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.pagination import LARGEST_SIZE
from app.api.problems import Problem
from app.api.routes import methods as api
from app.api.schemas.results import MethodView
from app.api.security import JobReader
from app.store import methods as store
from app.web.ask import first_page, wanted
from app.web.forms import fields_of
from app.web.kinds import kinds_of
from app.web.render import page
from app.web.route import PageRoute
from app.web.words import task_order

router = APIRouter(route_class=PageRoute)


@router.get("/ui/methods")
def show_methods(request: Request, caller: JobReader) -> Response:
    """Every method, by kind of data and by what it is for."""
    kind = wanted(request, "kind") or None
    found = api.list_methods(caller, first_page(size=LARGEST_SIZE), kind=kind).items
    ordered = sorted(found, key=lambda one: (one.kind, task_order(one.task), one.name != "auto", one.name))
    groups = [
        (of_kind, [(task, list(those)) for task, those in groupby(list(of), key=lambda one: one.task)])
        for of_kind, of in groupby(ordered, key=lambda one: one.kind)
    ]
    kinds = kinds_of(caller.conn)
    about = {one["name"]: one["about"] for one in kinds}
    return page(request, "methods.html", caller=caller, groups=groups, kinds=kinds, about=about, kind=kind)


@router.get("/ui/methods/{kind}/{name}")
def show_method(request: Request, caller: JobReader, kind: str, name: str) -> Response:
    """One method: what it does and when to use it, its paper, and every setting."""
    row = store.get_method(caller.conn, kind, name)
    if row is None:
        raise Problem("not_found", f"No worker announced a method {name[:80]} for {kind[:80]}.")
    view = MethodView.of(row)
    return page(
        request,
        "method.html",
        caller=caller,
        method=view,
        about=str(view.params_schema.get("x-about", "")),
        params=fields_of(view.params_schema, "params"),
        evaluate=fields_of(view.evaluate_schema, "evaluate"),
    )
