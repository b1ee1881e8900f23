"""JSON answers with strong ETags, and the preconditions that requests build on them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

from app.api.problems import Problem


def etag_of(body: bytes) -> str:
    """A strong entity tag: equal exactly when the bytes are."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def encoded(model: BaseModel) -> bytes:
    """The JSON a model is answered with."""
    return model.model_dump_json(by_alias=True).encode()


def answer(model: BaseModel, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer that is not worth caching."""
    return Response(encoded(model), status, dict(headers or {}), media_type="application/json")


def tagged(request: Request, model: BaseModel, *, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer with its ETag; 304 when the client has it already."""
    body = encoded(model)
    tag = etag_of(body)
    sent = {"ETag": tag, "Cache-Control": "no-cache", **(headers or {})}
    if names_tag(request.headers.get("if-none-match"), tag, weak=True):
        return Response(status_code=304, headers=sent)
    return Response(body, 200, sent, media_type="application/json")


def is_known(request: Request, model: BaseModel) -> bool:
    """Whether If-None-Match names the current state."""
    return names_tag(request.headers.get("if-none-match"), etag_of(encoded(model)), weak=True)


def need_match(request: Request, model: BaseModel) -> None:
    """Refuse unless If-Match names the current state."""
    given = request.headers.get("if-match")
    if given is None:
        raise Problem("precondition_required", hint="GET it first; `If-Match: *` skips the check.")
    if not names_tag(given, etag_of(encoded(model)), weak=False):
        raise Problem("precondition_failed")


def names_tag(header: str | None, tag: str, *, weak: bool) -> bool:
    """Whether an If-Match or If-None-Match header names `tag`; `weak`: W/ makes no difference (RFC 9110, 8.8.3.2)."""
    if header is None:
        return False
    if header.strip() == "*":
        return True
    given = [part.strip() for part in header.split(",")]
    return tag in ([part.removeprefix("W/") for part in given] if weak else given)


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
