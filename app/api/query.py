"""Query parameters that an operation does not take are refused: a misspelt filter must not give the whole list."""

from __future__ import annotations

import difflib
import re

from fastapi import FastAPI, Request

from app.api.metrics import route_template
from app.api.problems import Problem
from app.api.shared import parameters_of

Taken = dict[tuple[str, str], list[str]]


async def need_known_parameters(request: Request) -> None:
    """A dependency of every route; `Problem` names the first parameter that its operation does not describe."""
    if not request.scope["query_string"]:
        return
    known = _taken(request.app).get((_described(request.method), re.sub(r":\w+}", "}", route_template(request.scope))))
    if known is None:  # an address outside the description
        return
    for name in request.query_params:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = (f"Did you mean {near[0]}? " if near else "") + f"Taken here: {', '.join(known) or 'none'}."
            raise Problem("unknown_parameter", f"There is no parameter {name} here.", hint=hint, pointer=name)


def _described(verb: str) -> str:
    return "GET" if verb == "HEAD" else verb


def _taken(app: FastAPI) -> Taken:
    """Of every operation, by verb and path, the names of its query parameters; read from the description once."""
    if not hasattr(app.state, "query_parameters"):
        document = app.openapi()
        app.state.query_parameters = {
            (verb.upper(), path): [one["name"] for one in parameters_of(operation, document) if one["in"] == "query"]
            for path, verbs in document["paths"].items()
            for verb, operation in verbs.items()
        }
    return app.state.query_parameters
