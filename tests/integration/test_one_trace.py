"""A whole service that sends its spans to a collector: one trace leads from the request to the worker's commit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.planted import planted_csv
from tests.service import Service

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
QUICK = {"learners": ["popularity"], "bootstrap": 100, "draws": 1}
STAGES = ["load", "run", "evaluate", "report"]


class Collector:
    """Takes OTLP over HTTP, as a collector does; keeps (service, span)."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                assert self.path == "/v1/traces"
                sent = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
                for resource in sent.resource_spans:
                    named = {item.key: item.value.string_value for item in resource.resource.attributes}
                    for scope in resource.scope_spans:
                        collector.spans += [(named["service.name"], span) for span in scope.spans]
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    @contextmanager
    def listening(self) -> Iterator[Collector]:
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()

    def trace(self, trace_id: str) -> list[tuple[str, Span]]:
        return [(service, span) for service, span in self.spans if span.trace_id.hex() == trace_id]


def test_trace_when_a_job_runs_then_spans_api_dispatcher_and_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    clicks = planted_csv(tmp_path / "clicks.csv")
    with Collector().listening() as collector, Service(otlp_endpoint=collector.url, threads=1) as service:
        dataset = service.client.datasets.upload(clicks, kind="interactions")
        body = {"method": "head-users", "dataset": dataset.reference, "params": {"budget": 20}, "evaluate": QUICK}
        with service.http as http:
            given = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
            job = http.post("/v1/jobs", json=body, headers=given).raise_for_status().json()
        service.client.job(job["id"]).wait()
        Service.wait(lambda: "attempt" in {span.name for _, span in collector.trace(TRACE)}, 20, "the last span")
        found = {span.name: (who, span) for who, span in collector.trace(TRACE)}
        assert {name: who for name, (who, _) in found.items()} == {
            "POST /v1/jobs": "distillery-api",
            "create job": "distillery-api",
            "publish": "distillery-dispatcher",
            **dict.fromkeys(["claim", "attempt", "commit", *STAGES], "distillery-worker"),
        }
        spans = {name: span for name, (_, span) in found.items()}
        below = {
            name: [n for n, s in spans.items() if s.span_id == span.parent_span_id] for name, span in spans.items()
        }
        assert spans["POST /v1/jobs"].parent_span_id.hex() == PARENT
        assert below["create job"] == ["POST /v1/jobs"]
        assert below["publish"] == below["claim"] == below["attempt"] == ["create job"]
        assert all(below[name] == ["attempt"] for name in ["commit", *STAGES])
        order = sorted(
            ["create job", "publish", "claim", *STAGES, "commit"], key=lambda n: spans[n].start_time_unix_nano
        )
        assert order.index("create job") < order.index("claim") < order.index("load")
        assert [name for name in order if name in [*STAGES, "commit"]] == [*STAGES, "commit"]
        # The upload's job has a trace of its own, and no span holds what the user sent.
        ingests = [span for _, span in collector.spans if span.name == "ingest"]
        assert ingests
        assert all(span.trace_id.hex() != TRACE for span in ingests)
        assert "clicks" not in str([span for _, span in collector.spans])
