"""OpenTelemetry traces, for those who want them: off, and nothing of it imported, unless an address to send to is set.

One trace leads from a request to the worker that did the work, because the job's row carries the context of the span
that created it (`job.traceparent`, W3C Trace Context). Spans hold ids, names and states, never what users sent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog

from app.settings import Settings

if TYPE_CHECKING:  # workers need no Starlette, and nobody OpenTelemetry unless it is wanted
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()
STAGES = ("ingest", "load", "run", "evaluate", "report")
_tracer: Tracer | None = None  # of this process; None: nobody wants traces


def configure(process: str, settings: Settings) -> None:
    """Send the spans of this process to a collector (OTLP over HTTP), if an address of one is set."""
    if not (settings.otlp_endpoint or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("not_tracing", hint="Install the extra `otel`: pip install 'distillery-service[otel]'.")
        return
    address = f"{settings.otlp_endpoint.rstrip('/')}/v1/traces" if settings.otlp_endpoint else None
    provider = TracerProvider(resource=Resource.create({"service.name": f"distillery-{process}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=address)))
    use(provider)
    log.info("tracing")


def use(provider: TracerProvider | None) -> None:
    """Make the spans of this process with this provider, which ends with the process; None: make none."""
    global _tracer
    _tracer = provider.get_tracer("distillery") if provider is not None else None


@contextmanager
def span(name: str, *, parent: str | None = None, began: float | None = None, **attributes: Any) -> Generator[None]:
    """What happens inside, as a span below `parent` (a traceparent), else below the span that is open here.

    `began`: seconds since 1970, when it began before this. An exception marks it; its text stays out of the trace.
    """
    if _tracer is None:
        yield
        return
    with _tracer.start_as_current_span(
        name,
        context=_context(parent) if parent else None,
        attributes={f"distillery.{key}": value for key, value in attributes.items() if value is not None},
        start_time=int(began * 1e9) if began is not None else None,
        record_exception=False,
        set_status_on_exception=False,
    ) as opened:
        try:
            yield
        except BaseException as error:
            _mark_failed(opened, type(error).__name__)
            raise


def traceparent() -> str | None:
    """The context of the span that is open here, as the header that carries it on."""
    if _tracer is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


class Stages:
    """The stages of an attempt as spans below the open one, each from its first word to that of the next."""

    def __init__(self) -> None:
        self._name = ""
        self._open: Span | None = None

    def enter(self, phase: str) -> None:
        """A phase that is no stage of its own belongs to the stage that is on."""
        if _tracer is None or phase == self._name or phase not in STAGES:
            return
        self.end()
        self._name, self._open = phase, _tracer.start_span(phase)

    def end(self) -> None:
        """None is on any more."""
        if self._open is not None:
            self._open.end()
        self._name, self._open = "", None


class Tracing:
    """ASGI middleware: a span for every request, below the one of its `traceparent` header."""

    def __init__(self, app: ASGIApp, route_of: Callable[[Scope], str]) -> None:
        self.app = app
        self.route_of = route_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and remember its route and status."""
        if _tracer is None or scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        from opentelemetry.trace import SpanKind

        given = dict(scope["headers"]).get(b"traceparent", b"").decode("latin-1")
        verb: str = scope["method"]
        with _tracer.start_as_current_span(
            verb, context=_context(given), kind=SpanKind.SERVER, record_exception=False, set_status_on_exception=False
        ) as opened:

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    opened.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        _mark_failed(opened, str(message["status"]))
                await send(message)

            try:
                await self.app(scope, receive, noting)
            finally:
                route = self.route_of(scope)
                opened.update_name(f"{verb} {route}")
                opened.set_attributes({"http.request.method": verb, "http.route": route})
                opened.set_attribute("distillery.request_id", scope.get("distillery.request_id", ""))


def _mark_failed(opened: Span, why: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    opened.set_status(Status(StatusCode.ERROR))
    opened.set_attribute("error.type", why)


def _context(given: str) -> Any:
    """The context a traceparent stands for; an empty one, so a new trace, when it is not well-formed."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": given}, context=Context())
