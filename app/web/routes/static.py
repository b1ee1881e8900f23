"""/ui/static: the pages' own style and scripts."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.problems import Problem
from app.web.render import STATIC, address_of, sent
from app.web.route import PageRoute

router = APIRouter(route_class=PageRoute)
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@router.get("/ui/static/{name}")
def get_static(request: Request, name: str) -> Response:
    """One file; kept by browsers for ever when the address names its content."""
    known = {path.name: path for path in STATIC.iterdir() if path.suffix in _TYPES}
    if name not in known:
        raise Problem("not_found", "There is no such file.")
    as_named = request.query_params.get("v") == address_of(name).rpartition("=")[2]
    cache = "public, max-age=31536000, immutable" if as_named else "no-cache"
    text = known[name].read_text(encoding="utf-8")
    return sent(request, text, _TYPES[known[name].suffix], headers={"Cache-Control": cache})
