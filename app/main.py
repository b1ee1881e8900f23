"""The API: `create_app(settings)`, and `python -m app.main`, which serves it.

`python -m app.main openapi` writes the API's description instead, and needs no settings.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI

from app import logs, tracing
from app.api import refusals
from app.api.metrics import Metrics, MetricsMiddleware, route_template
from app.api.middleware import Gate
from app.api.openapi import describe, rendered
from app.api.query import need_known_parameters
from app.api.routes import (
    accounts,
    audit,
    canonical_files,
    datasets,
    events,
    files,
    imports,
    jobs,
    many_events,
    methods,
    operations,
    pages,
    reports,
    summaries,
    upload_urls,
    uploads,
    usage,
    versions,
    webhooks,
)
from app.api.server import Server, configure, inherited
from app.api.services import Services
from app.api.sessions import Sessions
from app.api.tenant_limits import TenantLimits
from app.api.token_buckets import SharedBuckets
from app.settings import Settings
from app.web import page_routers

_ROUTERS = (
    jobs,  # asked for most often, and looked through in this order
    datasets,
    files,
    upload_urls,
    uploads,
    versions,
    canonical_files,
    methods,
    events,
    many_events,
    summaries,
    reports,
    webhooks,
    imports,
    accounts,
    audit,
    usage,
    operations,
    pages,
)


def create_app(settings: Settings) -> FastAPI:
    """The application; it opens its connections when it starts to serve.

    `app.state.stopping` is the event that ends open streams: whoever runs the application sets it first of all.
    """
    metrics = Metrics()
    buckets = SharedBuckets(settings.broker_url, settings.rate_limit_per_s, settings.rate_limit_burst)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        services = Services.open(settings, metrics, app.state.stopping)
        services.events.start()
        app.state.services = services
        try:
            yield
        finally:
            app.state.stopping.set()
            await buckets.close()
            await asyncio.to_thread(services.close)

    app = FastAPI(
        lifespan=lifespan,
        docs_url=None,  # ours is in app.api.pages
        redoc_url=None,
        redirect_slashes=False,  # the framework would send clients to whatever host their request names
        generate_unique_id_function=lambda route: route.name,
        dependencies=[Depends(need_known_parameters)],
    )
    app.state.stopping = asyncio.Event()
    describe(app)
    refusals.install(app)
    for module in _ROUTERS:
        app.include_router(module.router)
    for router in page_routers():
        app.include_router(router, include_in_schema=False)
    app.add_middleware(
        TenantLimits,
        buckets=buckets if settings.rate_limit_per_s else None,
        per_s=settings.rate_limit_per_s,
        burst=settings.rate_limit_burst,
    )
    app.add_middleware(Sessions, secret=settings.secret)
    app.add_middleware(Gate, settings=settings)
    app.add_middleware(MetricsMiddleware, metrics=metrics, route_of=route_template)
    app.add_middleware(tracing.Tracing, route_of=route_template)
    return app


def undecided() -> Settings:
    """Settings that describe the API but cannot serve it."""
    required = ("database_url", "broker_url", "blob_dir", "staging_dir", "secret")
    return Settings.model_validate(dict.fromkeys(required, ""))


def main() -> None:
    """Serve until SIGTERM or SIGINT; open event streams say goodbye, other requests have 20 s to finish."""
    if sys.argv[1:] == ["openapi"]:
        sys.stdout.write(rendered(create_app(undecided())))
        return
    settings = Settings()  # pyright: ignore[reportCallIssue] - filled from the environment
    logs.configure("api", settings)
    tracing.configure("api", settings)
    app = create_app(settings)
    Server(configure(app, settings), app.state.stopping.set).run(inherited(settings))


if __name__ == "__main__":
    main()
