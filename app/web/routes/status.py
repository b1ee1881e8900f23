"""/ui/status: whether the service can work, who works, and how much of the quotas is used."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, Request
from sqlalchemy import Connection, func, select
from starlette.responses import Response

from app.api.routes.operations import get_readiness
from app.api.routes.usage import get_usage
from app.api.security import Asking, calling
from app.store.tables import worker
from app.web.render import page
from app.web.route import PageRoute

router = APIRouter(route_class=PageRoute)


@router.get("/ui/status")
async def show_status(request: Request, asking: Annotated[Asking, calling("jobs:read", reads=True)]) -> Response:
    """Checks as /readyz makes them, live workers, and the tenant's usage."""
    ready = json.loads(bytes((await get_readiness(request)).body))

    def look(conn: Connection) -> Response:
        caller = asking.on(conn)
        seen = func.extract("epoch", func.now() - worker.c.last_seen).label("silent_s")
        rows = conn.execute(select(worker, seen).where(worker.c.stopped_at.is_(None)).order_by(worker.c.id))
        workers: list[dict[str, Any]] = [dict(row) for row in rows.mappings()]
        return page(
            request, "status.html", caller=caller, ready=ready, workers=workers, usage=get_usage(caller).model_dump()
        )

    return await asking.services.reading(look)
