"""Routes whose function takes a `caller`: who asks is found out, the function runs, and its answer is written as JSON
and committed, in one visit to one thread. So a request crosses from the event loop and back once, holds a connection
no longer than it works with it, and has committed before its answer is sent."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import signature
from typing import Any, get_type_hints

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from sqlalchemy import Connection
from starlette.responses import Response

from app.api.answers import answer
from app.api.security import Asking, bearer

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class TransactionRoute(APIRoute):
    """A route of plain functions. Those of a caller who only reads get a connection without a transaction: at READ
    COMMITTED each statement sees what is committed either way, and two round trips less are made."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self._asking: Callable[..., Coroutine[Any, Any, Asking]] | None = None
        if "caller" in signature(endpoint).parameters:
            self._asking = get_type_hints(endpoint, include_extras=True)["caller"].__metadata__[0].dependency
            endpoint = _in_one_visit(endpoint)
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Handler:
        """FastAPI's handler; who asks is found out before what they sent is found wrong."""
        handler = super().get_route_handler()

        async def known_first(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError:
                if self._asking is not None:
                    asking = await self._asking(request, await bearer(request))
                    await asking.services.reading(asking.on)
                raise

        return known_first


def _in_one_visit(function: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    @wraps(function)
    async def visiting(*, caller: Asking, **given: Any) -> Any:
        def visit(conn: Connection) -> Any:
            made = function(caller=caller.on(conn), **given)
            return answer(made) if isinstance(made, BaseModel) else made

        if "admin" in caller.scopes:
            await caller.need_admin()
        services = caller.services
        return await (services.reading if caller.reads else services.in_transaction)(visit)

    return visiting
