"""Traces: what a span tells, and that nobody who wants none pays for them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from app import tracing
from app.api.metrics import route_template

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GIVEN = f"00-{TRACE}-{PARENT}-01"


class Spans:
    """What has ended so far."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    def all(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def named(self, name: str) -> ReadableSpan:
        [found] = [span for span in self.all() if span.name == name]
        return found


@pytest.fixture
def spans() -> Iterator[Spans]:
    found = Spans()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(found.exporter))
    tracing.use(provider)
    yield found
    tracing.use(None)


def trace_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}"


def test_spans_when_nested_then_the_inner_carries_on_the_outer_s_trace(spans: Spans) -> None:
    with tracing.span("outer", parent=GIVEN, job_id="job_1", nothing=None):
        carried = tracing.traceparent()
        with tracing.span("inner"):
            pass
    outer, inner = spans.named("outer"), spans.named("inner")
    assert trace_id(outer) == trace_id(inner) == TRACE
    assert outer.parent is not None
    assert f"{outer.parent.span_id:016x}" == PARENT
    assert outer.context is not None
    assert inner.parent is not None
    assert inner.parent.span_id == outer.context.span_id
    assert carried == f"00-{TRACE}-{outer.context.span_id:016x}-01"
    assert dict(outer.attributes or {}) == {"distillery.job_id": "job_1"}


@pytest.mark.parametrize("given", ["", "nonsense", "00-" + "0" * 32 + "-" + PARENT + "-01"])
def test_span_when_its_parent_is_not_well_formed_then_begins_a_trace(spans: Spans, given: str) -> None:
    with tracing.span("alone", parent=given):
        pass
    assert spans.named("alone").parent is None


def test_span_when_an_exception_passes_then_says_its_type_and_not_its_text(spans: Spans) -> None:
    with pytest.raises(ValueError, match="secret"), tracing.span("risky"):
        raise ValueError("secret of a user")
    span = spans.named("risky")
    assert not span.status.is_ok
    assert dict(span.attributes or {})["error.type"] == "ValueError"
    assert "secret" not in span.to_json()


def test_span_when_it_began_before_then_its_start_says_so(spans: Spans) -> None:
    with tracing.span("late", began=time.time() - 60):
        pass
    span = spans.named("late")
    assert span.start_time is not None
    assert span.end_time is not None
    assert 60 <= (span.end_time - span.start_time) / 1e9 < 70


def test_stages_when_a_method_has_phases_of_its_own_then_they_belong_to_the_stage(spans: Spans) -> None:
    stages = tracing.Stages()
    with tracing.span("attempt"):
        for phase in ("load", "run", "distil", "distil", "run", "evaluate", "report"):
            stages.enter(phase)
        stages.end()
        stages.end()
    assert [span.name for span in spans.all()] == ["load", "run", "evaluate", "report", "attempt"]
    attempt = spans.named("attempt").context
    assert attempt is not None
    assert all(span.parent is not None and span.parent.span_id == attempt.span_id for span in spans.all()[:-1])


def test_request_when_traced_then_span_has_route_status_and_the_caller_s_trace(spans: Spans) -> None:
    def broken(_: Request) -> Response:
        return JSONResponse({}, 503)

    app = Starlette(routes=[Route("/v1/jobs/{job_id}", broken)])
    app.add_middleware(tracing.Tracing, route_of=route_template)
    with TestClient(app) as client:
        client.get("/v1/jobs/job_1?token=secret", headers={"traceparent": GIVEN})
    [span] = spans.all()
    assert trace_id(span) == TRACE
    assert span.name.startswith("GET ")
    assert dict(span.attributes or {})["http.response.status_code"] == 503
    assert not span.status.is_ok
    assert "secret" not in span.to_json()


def test_tracing_when_no_address_is_set_then_nothing_of_it_is_imported() -> None:
    code = (
        "import sys; from app import tracing; from app.main import undecided; tracing.configure('api', undecided())\n"
        "with tracing.span('x', parent='y'): assert tracing.traceparent() is None\n"
        "import app.jobs.dispatch, worker.main\n"
        "unwanted = ('opentelemetry.sdk.trace', 'opentelemetry.exporter')\n"
        "print([name for name in sys.modules if name.startswith(unwanted)])"
    )
    bare = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run([sys.executable, "-c", code], env=bare, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_tracing_when_wanted_without_the_package_then_says_how_to_get_it_and_goes_on() -> None:
    code = (
        "import sys; sys.modules['opentelemetry.sdk.trace'] = None\n"
        "from app import tracing; from app.main import undecided\n"
        "tracing.configure('api', undecided().model_copy(update={'otlp_endpoint': 'http://127.0.0.1:9'}))\n"
        "with tracing.span('x'): print('goes on')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "distillery-service[otel]" in done.stdout
    assert done.stdout.endswith("goes on\n")
