"""The blocking client."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from distillery import _operations as ops
from distillery._connection import Connection, find_connection, request_headers
from distillery._operations import Budget
from distillery._requests import get_json, pages
from distillery._resources import Datasets, Job, Keys, Report, Summary
from distillery._transport import SyncTransport
from distillery._views import Inputs, View, job_body, reference_of
from distillery._webhooks import Webhooks


class Client:
    """Talks to a Distillery service.

        from distillery import Client

        client = Client()
        dataset = client.datasets.upload("ratings.csv", kind="interactions")
        job = client.distil(dataset, budget=0.01).wait(progress=True)
        print(job.report.verdict)
        job.summary.download("out/")

    Without arguments it uses `DISTILLERY_URL` and `DISTILLERY_API_KEY`, else the embedded service that runs
    here (`distillery up`). Safe to share between threads; close it, or use it as a context manager.

    Every method raises the errors of `distillery.errors`. Requests that cannot do a thing twice are tried
    again when the connection fails or the service asks for it; POSTs carry an `Idempotency-Key`, so they
    are among them.
    """

    def __init__(self, url: str | None = None, api_key: str | None = None, **httpx_options: Any) -> None:
        self._connection: Connection = find_connection(url, api_key)
        headers = request_headers(self._connection)
        self._transport = SyncTransport(self._connection.url, headers, **httpx_options)
        self.datasets = Datasets(self._transport)
        self.keys = Keys(self._transport)
        self.webhooks = Webhooks(self._transport)

    @property
    def url(self) -> str:
        """The address of the service."""
        return self._connection.url

    def methods(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The methods that the workers can run, with the JSON Schema of their parameters."""
        return self._transport.run(ops.list_methods(kind))

    def run(
        self,
        method: str,
        dataset: str | View,
        *,
        params: dict[str, Any] | None = None,
        seed: int = 0,
        evaluate: dict[str, Any] | None = None,
        limits: dict[str, Any] | None = None,
        labels: dict[str, str] | None = None,
        inputs: Inputs | None = None,
        device: str = "auto",
        priority: int = 0,
        force: bool = False,
        webhook: str | None = None,
        **more_params: Any,
    ) -> Job:
        """Start a job: a method on a dataset ("ds_…@1", "ds_…" for its latest version, a `Dataset`, a
        `Summary`).

        Parameters of the method are given by name, or in `params` where their name is one of the arguments
        above. Identical finished work is answered at once from its result, unless `force`. `webhook`: who is
        told of its end, an endpoint's identifier or an https address. Raises
        `InvalidParams`, `KindMismatch`, `UnknownMethod`, `QueueFull`.
        """
        body = job_body(
            method,
            dataset,
            params={**(params or {}), **more_params},
            seed=seed,
            evaluate=evaluate,
            limits=limits,
            labels=labels,
            inputs=inputs,
            device=device,
            priority=priority,
            force=force,
            webhook=webhook,
        )
        return Job(self._transport, self._transport.run(ops.create_job(body)))

    def distil(self, dataset: str | View, method: str = "auto", *, budget: Budget = 0.01, **options: Any) -> Job:
        """Make a summary of a dataset; `options` as in `run`.

        `budget`: a share as a float below 1 or as text (0.01, "1%"), a number of units (500), or bytes
        ("150kB").
        """
        return self.run(method, dataset, budget=ops.share_or_units(budget), **options)

    def evaluate(self, summary: str | View, dataset: str | View, **options: Any) -> Job:
        """Judge a summary, or a subset uploaded as a dataset of its own, against the full data in
        `dataset`."""
        reference = reference_of(dataset)
        method = self._transport.run(ops.method_for("evaluate", reference))
        return self.run(method, reference, inputs={"summary": summary}, **options)

    def estimate(
        self,
        dataset: str | View,
        targets: list[str] | None = None,
        *,
        policy: str | View | None = None,
        policies: list[str | View] | None = None,
        method: str = "policy-convolution",
        **options: Any,
    ) -> Job:
        """What target policies would have earned, from a log of kind bandit; `options` as in `run`.

        `targets`: names of uploaded policies, "uniform", or "learnt" for `policy`, the summary of a job that learnt
        one; left out: all uploaded ones, and the learnt one. `policies`: versions of policies uploaded after the log.
        """
        inputs: dict[str, Any] = ({} if policy is None else {"policy": policy}) | (
            {"targets": policies} if policies else {}
        )
        return self.run(method, dataset, inputs=inputs, targets=targets or [], **options)

    def job(self, job_id: str) -> Job:
        """One job."""
        return Job(self._transport, self._transport.run(get_json(f"/v1/jobs/{job_id}")))

    def jobs(
        self,
        *,
        state: str | None = None,
        task: str | None = None,
        dataset: str | None = None,
        label: str | None = None,
        created_after: str | None = None,
    ) -> list[Job]:
        """Every job that fits, newest first. `label`: "name=value". `created_after`: as 2026-01-05T09:30:00Z."""
        found = self._transport.run(
            pages("/v1/jobs", state=state, task=task, dataset=dataset, label=label, created_after=created_after)
        )
        return [Job(self._transport, view) for view in found]

    def summary(self, summary_id: str) -> Summary:
        """One summary."""
        return Summary(self._transport, {"id": summary_id})

    def report(self, report_id: str) -> Report:
        """One report."""
        return Report(self._transport, {"id": report_id})

    def summaries(
        self,
        *,
        dataset: str | None = None,
        job: str | None = None,
        kind: str | None = None,
        created_after: str | None = None,
    ) -> list[Summary]:
        """Every summary that fits, newest first. `dataset`: what they were made from."""
        found = self._transport.run(
            pages("/v1/summaries", dataset=dataset, job=job, kind=kind, created_after=created_after)
        )
        return [Summary(self._transport, view) for view in found]

    def reports(
        self,
        *,
        dataset: str | None = None,
        job: str | None = None,
        kind: str | None = None,
        created_after: str | None = None,
    ) -> list[Report]:
        """Every report that fits, newest first. `dataset`: what their jobs read."""
        found = self._transport.run(
            pages("/v1/reports", dataset=dataset, job=job, kind=kind, created_after=created_after)
        )
        return [Report(self._transport, view) for view in found]

    def ready(self) -> dict[str, Any]:
        """What the service says of its own readiness."""
        return self._transport.run(ops.readiness())

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
