"""/healthz, /readyz and /metrics: what operators and their programs look at."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from app.api.documented import binary, refusals
from app.api.metrics import CONTENT_TYPE
from app.api.readiness import check_broker, check_schema, check_store, check_work
from app.api.security import Credentials, identify_caller
from app.api.services import services_of

router = APIRouter(tags=["operations"])
log = structlog.get_logger()


@router.get("/healthz", summary="Is the process alive", responses=refusals())
async def get_health() -> dict[str, str]:
    """Answers whenever the process does."""
    return {"status": "ok"}


@router.get(
    "/readyz",
    summary="Can the process serve",
    responses={**refusals(), 503: {"description": "It cannot; the checks say why."}},
)
async def get_readiness(request: Request) -> JSONResponse:
    """Database, schema and file store must be there; without the broker the service is only degraded.

    `notes` says what is odd about the work, which no other API process would do better: leases that nobody minds, and
    workers that are not registered.
    """
    services = services_of(request)
    checks: dict[str, str] = {}
    notes: list[str] = []
    try:
        checks["schema"] = await services.in_transaction(check_schema)
        checks["database"] = "ok"
        notes = await services.in_transaction(check_work)
    except SQLAlchemyError as error:
        checks["database"] = type(error).__name__
    checks["store"] = await run_in_threadpool(check_store, services.blobs)
    if services.stopping.is_set():
        checks["process"] = "stopping"
    ready = all(result == "ok" for result in checks.values())
    checks["broker"] = await run_in_threadpool(check_broker, services.settings.broker_url)
    status = "unready" if not ready else "ready" if checks["broker"] == "ok" else "degraded"
    return JSONResponse({"status": status, "checks": checks, "notes": notes}, 200 if ready else 503)


async def _may_read_metrics(request: Request, credentials: Credentials) -> None:
    if not services_of(request).settings.metrics_open:
        await identify_caller(request, credentials, "admin")


@router.get(
    "/metrics",
    response_class=Response,
    responses={**binary("text/plain"), **refusals("forbidden")},
    openapi_extra={"security": [{}]},  # a key is needed only where metrics_open is off
    summary="Metrics for Prometheus",
)
async def get_metrics(request: Request, _: Annotated[None, Depends(_may_read_metrics)]) -> Response:
    """Requests of this process, and jobs as the database counts them; only the former while it is away."""
    services = services_of(request)

    def of_jobs(conn: Connection) -> bytes:
        return services.metrics.of_jobs(conn)

    try:
        jobs = await services.in_transaction(of_jobs)
    except SQLAlchemyError as error:
        log.warning("metrics_without_jobs", error=type(error).__name__)
        jobs = b""
    return Response(services.metrics.own() + jobs, media_type=CONTENT_TYPE)
