"""Prometheus metrics: requests counted by a middleware of our own, jobs counted by the database at scrape time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy import Connection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.store.jobs import lost_attempts, outcome_counts, overdue_leases, queue_depths, unregistered_owners
from app.store.summaries import stored_bytes

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The metrics of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "distillery_http_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "distillery_http_request_seconds",
            "Time until the answer was complete.",
            ("method", "route"),
            registry=self.registry,
        )

    def own(self) -> bytes:
        """What this process counted itself."""
        return generate_latest(self.registry)

    @staticmethod
    def of_jobs(conn: Connection) -> bytes:
        """What the database knows, over all tenants."""
        registry = CollectorRegistry()
        registry.register(_Families(list(_job_families(conn))))
        return generate_latest(registry)


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self.families = families

    def collect(self) -> Iterable[Metric]:
        return self.families


def _job_families(conn: Connection) -> Iterable[Metric]:
    by = ["task", "kind", "method"]
    ended = CounterMetricFamily("distillery_jobs", "Finished jobs.", labels=[*by, "outcome"])
    seconds = SummaryMetricFamily("distillery_job_seconds", "From start to end of a job.", labels=by)
    live = GaugeMetricFamily("distillery_jobs_live", "Unfinished jobs.", labels=["state"])
    counts: dict[str, int] = {"queued": 0, "running": 0, "cancelling": 0}
    totals: dict[tuple[str, str, str], tuple[int, float]] = {}
    for task, kind, method, state, number, spent in outcome_counts(conn):
        if state in counts:
            counts[state] += number
            continue
        ended.add_metric([task, kind, method, state], number)
        before = totals.get((task, kind, method), (0, 0.0))
        totals[task, kind, method] = before[0] + number, before[1] + spent
    for labels, (number, spent) in totals.items():
        seconds.add_metric(list(labels), number, spent)
    for state, number in counts.items():
        live.add_metric([state], number)
    depth = GaugeMetricFamily("distillery_queue_depth", "Queued jobs.", labels=["queue"])
    for queue, number in queue_depths(conn):
        depth.add_metric([queue], number)
    lost = CounterMetricFamily("distillery_lease_expired", "Attempts whose lease ran out.")
    lost.add_metric([], lost_attempts(conn))
    overdue = GaugeMetricFamily("distillery_leases_overdue", "Running jobs whose lease is over and that nobody took.")
    overdue.add_metric([], overdue_leases(conn))
    strangers = GaugeMetricFamily("distillery_workers_unregistered", "Workers that own jobs and are not registered.")
    strangers.add_metric([], unregistered_owners(conn))
    stored = GaugeMetricFamily("distillery_store_bytes", "Bytes of all stored files.")
    stored.add_metric([], stored_bytes(conn))
    return [ended, seconds, live, depth, lost, overdue, strangers, stored]


class MetricsMiddleware:
    """Counts every answer under its route's template, so that ids do not become labels."""

    def __init__(self, app: ASGIApp, metrics: Metrics, route_of: Callable[[Scope], str]) -> None:
        self.app = app
        self.metrics = metrics
        self.route_of = route_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and count its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status = time.perf_counter(), "0"

        async def counting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, counting)
        finally:
            route = self.route_of(scope)
            method = scope["method"] if scope["method"] in _METHODS else "other"  # a client may make up any number
            self.metrics.requests.labels(method, route, status).inc()
            self.metrics.seconds.labels(method, route).observe(time.perf_counter() - started)


def route_template(scope: dict[str, Any] | Scope) -> str:
    """The matched route's path template, or `none`."""
    route = scope.get("route")
    return str(getattr(route, "path", "none"))
