"""The asynchronous client: `_client.py` with await."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from distillery import _operations as ops
from distillery._async_resources import AsyncDatasets, AsyncJob, AsyncKeys, AsyncReport, AsyncSummary
from distillery._connection import Connection, find_connection, request_headers
from distillery._operations import Budget
from distillery._requests import get_json, pages
from distillery._transport import AsyncTransport
from distillery._views import Inputs, View, job_body, reference_of
from distillery._webhooks import AsyncWebhooks


class AsyncClient:
    """Talks to a Distillery service.

        from distillery import AsyncClient

        client = AsyncClient()
        dataset = await client.datasets.upload("ratings.csv", kind="interactions")
        job = await (await client.distil(dataset, budget=0.01)).wait(progress=True)
        print(await job.report.verdict())
        await job.summary.download("out/")

    Without arguments it uses `DISTILLERY_URL` and `DISTILLERY_API_KEY`, else the embedded service that runs
    here (`distillery up`). Close it, or use it as an async context manager; it runs under asyncio.

    Every method raises the errors of `distillery.errors`. Requests that cannot do a thing twice are tried
    again when the connection fails or the service asks for it; POSTs carry an `Idempotency-Key`, so they
    are among them.
    """

    def __init__(self, url: str | None = None, api_key: str | None = None, **httpx_options: Any) -> None:
        self._connection: Connection = find_connection(url, api_key)
        headers = request_headers(self._connection)
        self._transport = AsyncTransport(self._connection.url, headers, **httpx_options)
        self.datasets = AsyncDatasets(self._transport)
        self.keys = AsyncKeys(self._transport)
        self.webhooks = AsyncWebhooks(self._transport)

    @property
    def url(self) -> str:
        """The address of the service."""
        return self._connection.url

    async def methods(self, kind: str | None = None) -> list[dict[str, Any]]:
        """The methods that the workers can run, with the JSON Schema of their parameters."""
        return await self._transport.run(ops.list_methods(kind))

    async def run(
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
    ) -> AsyncJob:
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
        return AsyncJob(self._transport, await self._transport.run(ops.create_job(body)))

    async def distil(
        self, dataset: str | View, method: str = "auto", *, budget: Budget = 0.01, **options: Any
    ) -> AsyncJob:
        """Make a summary of a dataset; `options` as in `run`.

        `budget`: a share as a float below 1 or as text (0.01, "1%"), a number of units (500), or bytes
        ("150kB").
        """
        return await self.run(method, dataset, budget=ops.share_or_units(budget), **options)

    async def evaluate(self, summary: str | View, dataset: str | View, **options: Any) -> AsyncJob:
        """Judge a summary, or a subset uploaded as a dataset of its own, against the full data in
        `dataset`."""
        reference = reference_of(dataset)
        method = await self._transport.run(ops.method_for("evaluate", reference))
        return await self.run(method, reference, inputs={"summary": summary}, **options)

    async def estimate(
        self,
        dataset: str | View,
        targets: list[str] | None = None,
        *,
        policy: str | View | None = None,
        policies: list[str | View] | None = None,
        method: str = "policy-convolution",
        **options: Any,
    ) -> AsyncJob:
        """What target policies would have earned, from a log of kind bandit; `options` as in `run`.

        `targets`: names of uploaded policies, "uniform", or "learnt" for `policy`, the summary of a job that learnt
        one; left out: all uploaded ones, and the learnt one. `policies`: versions of policies uploaded after the log.
        """
        inputs: dict[str, Any] = ({} if policy is None else {"policy": policy}) | (
            {"targets": policies} if policies else {}
        )
        return await self.run(method, dataset, inputs=inputs, targets=targets or [], **options)

    async def job(self, job_id: str) -> AsyncJob:
        """One job."""
        return AsyncJob(self._transport, await self._transport.run(get_json(f"/v1/jobs/{job_id}")))

    async def jobs(
        self,
        *,
        state: str | None = None,
        task: str | None = None,
        dataset: str | None = None,
        label: str | None = None,
        created_after: str | None = None,
    ) -> list[AsyncJob]:
        """Every job that fits, newest first. `label`: "name=value". `created_after`: as 2026-01-05T09:30:00Z."""
        found = await self._transport.run(
            pages("/v1/jobs", state=state, task=task, dataset=dataset, label=label, created_after=created_after)
        )
        return [AsyncJob(self._transport, view) for view in found]

    def summary(self, summary_id: str) -> AsyncSummary:
        """One summary."""
        return AsyncSummary(self._transport, {"id": summary_id})

    def report(self, report_id: str) -> AsyncReport:
        """One report."""
        return AsyncReport(self._transport, {"id": report_id})

    async def summaries(
        self,
        *,
        dataset: str | None = None,
        job: str | None = None,
        kind: str | None = None,
        created_after: str | None = None,
    ) -> list[AsyncSummary]:
        """Every summary that fits, newest first. `dataset`: what they were made from."""
        found = await self._transport.run(
            pages("/v1/summaries", dataset=dataset, job=job, kind=kind, created_after=created_after)
        )
        return [AsyncSummary(self._transport, view) for view in found]

    async def reports(
        self,
        *,
        dataset: str | None = None,
        job: str | None = None,
        kind: str | None = None,
        created_after: str | None = None,
    ) -> list[AsyncReport]:
        """Every report that fits, newest first. `dataset`: what their jobs read."""
        found = await self._transport.run(
            pages("/v1/reports", dataset=dataset, job=job, kind=kind, created_after=created_after)
        )
        return [AsyncReport(self._transport, view) for view in found]

    async def ready(self) -> dict[str, Any]:
        """What the service says of its own readiness."""
        return await self._transport.run(ops.readiness())

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
