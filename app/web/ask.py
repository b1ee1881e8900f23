"""What pages ask of the API, in words shorter than its own."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from fastapi import Request
from sqlalchemy import select
from starlette.responses import RedirectResponse, Response

from app.api.pagination import PageRequest
from app.api.security import Caller
from app.store.tables import dataset

SHOWN = 50


def first_page(token: str = "", size: int = SHOWN) -> PageRequest:
    """The page of a list that a page shows."""
    return PageRequest(size, token)


def document(answer: Response) -> dict[str, Any]:
    """What a function of the API answered."""
    return json.loads(bytes(answer.body))


def go(address: str) -> RedirectResponse:
    """After a form was sent: look at what came of it."""
    return RedirectResponse(address, 303)


def wanted(request: Request, name: str) -> str:
    """A query parameter of a page; empty without it."""
    return request.query_params.get(name, "")[:2000]


def names_of(caller: Caller, references: Iterable[str]) -> dict[str, str]:
    """The names of datasets, by the ids in references such as `ds_x@1`; deleted ones too."""
    ids = {reference.partition("@")[0] for reference in references}
    own = select(dataset.c.id, dataset.c.name).where(dataset.c.tenant_id == caller.tenant_id, dataset.c.id.in_(ids))
    return {row.id: row.name for row in caller.conn.execute(own)}
