"""Idempotency-Key: a POST sent twice is done once, and the second answer is the first one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Header, Request
from pydantic import BaseModel
from starlette.responses import Response

from app.api.answers import canonical, encoded
from app.api.metrics import route_template
from app.api.problems import Problem
from app.api.security import Caller
from app.store.idempotency import Remembered, Scope, lock_key, recall, remember

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="1 to 255 visible ASCII characters; the same key and body within 24 h give the same answer.",
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
    ),
]
Made = tuple[int, BaseModel, dict[str, str]]


def once(
    request: Request, caller: Caller, key: str | None, body: BaseModel | None, work: Callable[[], Made]
) -> Response:
    """Answer with what `work` makes (status, document, headers), or with what it made for this key before."""
    if key is None:
        return _response(*work())
    if (earlier := replayed(request, caller, key, body)) is not None:
        return earlier
    status, document, headers = work()
    scope, body_sha256 = _asked(request, caller, key, body)
    remember(
        caller.conn,
        scope,
        Remembered(body_sha256, status, json.loads(encoded(document)), headers),
        keep_s=caller.services.settings.idempotency_s,
    )
    return _response(status, document, headers)


def replayed(request: Request, caller: Caller, key: str, body: BaseModel | None) -> Response | None:
    """What was answered to this key before, or None; the key is then held until the transaction ends."""
    scope, body_sha256 = _asked(request, caller, key, body)
    if not lock_key(caller.conn, scope):
        raise Problem("idempotency_in_progress", headers={"Retry-After": "1"})
    earlier = recall(caller.conn, scope)
    if earlier is None:
        return None
    if earlier.body_sha256 != body_sha256:
        raise Problem("idempotency_key_reused")
    headers = {**earlier.headers, "Idempotency-Replayed": "true"}
    return Response(
        json.dumps(earlier.response, separators=(",", ":")), earlier.status, headers, media_type="application/json"
    )


def _asked(request: Request, caller: Caller, key: str, body: BaseModel | None) -> tuple[Scope, str]:
    asked = {"method": request.method, "path": request.url.path, "body": _sent(body)}
    route = f"{request.method} {route_template(request.scope)}"
    scope = Scope(caller.tenant_id, caller.identity.key_id, route, key)
    return scope, hashlib.sha256(canonical(asked)).hexdigest()


def _sent(body: BaseModel | None) -> Any:
    return None if body is None else body.model_dump(mode="json", exclude_unset=True)


def _response(status: int, document: BaseModel, headers: dict[str, str]) -> Response:
    return Response(encoded(document), status, headers, media_type="application/json")
