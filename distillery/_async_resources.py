"""Datasets, jobs, summaries, reports and keys, for the asynchronous client: `_resources.py` with await."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from distillery import _operations as ops
from distillery._downloading import Downloaded
from distillery._following import follow, wait
from distillery._progress import Progress, reporter
from distillery._requests import get_json, pages
from distillery._transport import AsyncTransport
from distillery._uploading import Paths, upload
from distillery._views import DatasetView, JobView, View


class AsyncDataset(DatasetView):
    """A dataset. `reference` names its latest version: "ds_…@1"."""

    def __init__(self, transport: AsyncTransport, view: dict[str, Any]) -> None:
        super().__init__(view)
        self._transport = transport

    async def delete(self, *, force: bool = False, cascade: bool = False) -> None:
        """Delete it; raises `DatasetInUse` while a live job uses it, unless forced.

        `cascade`: erase it with everything that was made from it; raises `Conflict` while a job of that is unfinished.
        """
        await self._transport.run(ops.delete_dataset(self.id, force=force, cascade=cascade))

    async def versions(self) -> list[dict[str, Any]]:
        """Every version, with its content hash, statistics and warnings."""
        return await self._transport.run(pages(f"/v1/datasets/{self.id}/versions"))

    async def statistics(self) -> dict[str, Any]:
        """Counts and distributions of the latest version."""
        return await self._transport.run(get_json(f"/v1/datasets/{self.id}/versions/{self.version}/stats"))

    async def preview(self, rows: int = 20) -> dict[str, Any]:
        """The first rows of the latest version, as they were read."""
        path = f"/v1/datasets/{self.id}/versions/{self.version}/preview"
        return await self._transport.run(get_json(path, rows=rows))

    async def download(
        self, to: str | PathLike[str] = ".", *, progress: Callable[[Downloaded], object] | None = None
    ) -> Path:
        """Put the canonical files of the latest version, which every job reads, into the folder `to`; returns it."""
        return await self._transport.run(ops.download_version(self.id, self.version, Path(to), progress))


class AsyncDatasets:
    """`client.datasets`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def upload(
        self,
        paths: Paths,
        *,
        kind: str,
        name: str | None = None,
        columns: Mapping[str, str | int] | None = None,
        options: Mapping[str, Any] | None = None,
        progress: Progress = False,
        timeout: float | None = None,  # noqa: ASYNC109 - one set of names for both clients
    ) -> AsyncDataset:
        """Upload files or a folder as a dataset and wait until it is read.

        `columns`: role -> column of the file, such as {"user": "uid"}, or its number in a file without a
        header. `options`: options of the kind, such as {"split": "clean"}. `progress`: True shows a bar
        (plain lines where there is no terminal); a callable gets each `Uploaded` and each event. `timeout`:
        seconds to wait for the reading. Raises `JobFailed` when the files cannot be read.
        """
        with reporter(progress, "upload") as report:
            view = await self._transport.run(
                upload(
                    paths,
                    kind=kind,
                    name=name,
                    columns=columns or {},
                    options=options or {},
                    progress=report,
                    timeout_s=timeout,
                ),
                report,
            )
        return AsyncDataset(self._transport, view)

    async def get(self, reference: str) -> AsyncDataset:
        """One dataset, by its identifier or a reference."""
        return AsyncDataset(self._transport, await self._transport.run(ops.get_dataset(reference)))

    async def list(
        self,
        *,
        kind: str | None = None,
        state: str | None = None,
        name: str | None = None,
        created_after: str | None = None,
        exports: bool = False,
    ) -> list[AsyncDataset]:
        """Every dataset that was uploaded and fits, newest first.

        `state`: open, ingesting, ready or failed. `name`: a part of its name. `created_after`: a time as
        2026-01-05T09:30:00Z. `exports`: also those that summaries were exported as.
        """
        found = await self._transport.run(
            ops.list_datasets(kind=kind, state=state, name=name, created_after=created_after, exports=exports)
        )
        return [AsyncDataset(self._transport, view) for view in found]

    async def delete(self, reference: str, *, force: bool = False, cascade: bool = False) -> None:
        """Delete a dataset with all its versions; `cascade`: and with everything that was made from it."""
        await self._transport.run(ops.delete_dataset(reference, force=force, cascade=cascade))


class AsyncJob(JobView):
    """A job. `state`, `result` and `view` are as of the last request; `refresh`, `wait` and `cancel` ask
    again."""

    def __init__(self, transport: AsyncTransport, view: dict[str, Any]) -> None:
        super().__init__(view)
        self._transport = transport

    async def refresh(self) -> AsyncJob:
        """Ask again how the job stands."""
        self.view = await self._transport.run(get_json(f"/v1/jobs/{self.id}"))
        return self

    async def wait(  # the names are those of the blocking client
        self,
        *,
        progress: Progress = False,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> AsyncJob:
        """Wait until the job has succeeded.

        `progress`: True shows a bar; a callable gets each event. Raises `JobFailed`, `JobCancelled`, and
        `WaitTimeout` after `timeout` seconds (the job goes on).
        """
        with reporter(progress, self.view.get("method", "job")) as report:
            self.view = await self._transport.run(wait(self.id, timeout_s=timeout), report)
        return self

    def events(self, *, after: int = 0) -> AsyncIterator[dict[str, Any]]:
        """The job's events {"seq", "at", "type", "data"}, past ones first, then as they happen until its
        end."""
        return self._transport.iterate(follow(self.id, after=after))

    async def cancel(self) -> AsyncJob:
        """Ask the job to stop; `wait` tells when it has."""
        self.view = await self._transport.run(ops.cancel_job(self.id))
        return self

    async def retry(self) -> AsyncJob:
        """A new job that does the same again, starting from this one's last checkpoint."""
        return AsyncJob(self._transport, await self._transport.run(ops.retry_job(self.id)))

    async def delete(self, *, cascade: bool = False) -> None:
        """Delete it once it has ended; what it made stays, unless `cascade`. Raises `Conflict` before its end."""
        await self._transport.run(ops.delete("jobs", self.id, cascade=cascade))

    @property
    def summary(self) -> AsyncSummary:
        """The summary it made; raises `NoResult` when there is none."""
        return AsyncSummary(self._transport, {"id": self.made("summary")})

    @property
    def report(self) -> AsyncReport:
        """The report about what it made; raises `NoResult` when there is none."""
        return AsyncReport(self._transport, {"id": self.made("report")})


class AsyncSummary(View):
    """The artefact of a job; wherever a job takes a summary or a dataset, this object will do."""

    def __init__(self, transport: AsyncTransport, view: dict[str, Any]) -> None:
        super().__init__(view)
        self._transport = transport

    async def manifest(self) -> dict[str, Any]:
        """What it is made of: method, parameters, sizes, files with their SHA-256."""
        return await self._transport.run(get_json(f"/v1/summaries/{self.id}"))

    async def download(
        self,
        to: str | PathLike[str] = ".",
        *,
        as_zip: bool = False,
        progress: Callable[[Downloaded], object] | None = None,
    ) -> Path:
        """Put its files into the folder `to`, or all of them as one zip; returns the folder or the zip.

        Every file is checked against its digest, and a broken connection is taken up where it broke.
        """
        return await self._transport.run(ops.download_summary(self.id, Path(to), as_zip=as_zip, progress=progress))

    async def delete(self, *, cascade: bool = False) -> None:
        """Delete it; `cascade`: with its report, its export and everything that was made from them."""
        await self._transport.run(ops.delete("summaries", self.id, cascade=cascade))


class AsyncReport(View):
    """The evidence about a summary."""

    def __init__(self, transport: AsyncTransport, view: dict[str, Any]) -> None:
        super().__init__(view)
        self._transport = transport
        self._document: dict[str, Any] | None = None

    async def delete(self) -> None:
        """Erase it; the copy inside its summary stays."""
        await self._transport.run(ops.delete("reports", self.id))

    async def json(self) -> dict[str, Any]:
        """The whole report; top-level `verdict`, `tables`, `plots`, `warnings`, `cost`, `reproduce`."""
        document = self._document or await self._transport.run(get_json(f"/v1/reports/{self.id}"))
        self._document = document
        return document

    async def verdict(self) -> str:
        """The verdict in words."""
        return ops.verdict_of(await self.json())

    async def html(self) -> str:
        """The report as one page that needs nothing else."""
        return await self._transport.run(ops.get_text(f"/v1/reports/{self.id}.html"))

    async def markdown(self) -> str:
        """Verdict, warnings and tables as Markdown."""
        return await self._transport.run(ops.get_text(f"/v1/reports/{self.id}.md"))

    async def file(self, name: str) -> bytes:
        """One of the further files that the document lists under `files`."""
        return await self._transport.run(ops.get_file(f"/v1/reports/{self.id}/files/{name}"))

    async def download(
        self, to: str | PathLike[str] = ".", *, progress: Callable[[Downloaded], object] | None = None
    ) -> Path:
        """Put all evidence as one zip into the folder `to`, or under that name: tables, plots, and the figures behind
        them; returns the zip."""
        return await self._transport.run(ops.download_report(self.id, Path(to), progress))

    async def save(self, path: str | PathLike[str]) -> Path:
        """Write it to a file: the page when the name ends in .html, else the JSON document."""
        target = Path(path)
        html = target.suffix in (".html", ".htm")
        text = await self.html() if html else json.dumps(await self.json(), indent=2, ensure_ascii=False) + "\n"
        await asyncio.to_thread(target.write_text, text, encoding="utf-8")
        return target


class AsyncKeys:
    """`client.keys`: API keys. Needs a key with the scope `admin`."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    async def create(
        self, name: str, *, scopes: list[str] | None = None, expires_at: str | None = None
    ) -> dict[str, Any]:
        """A new key; the answer's `token` is shown this once.

        `scopes`: everything but `admin` and `webhooks:write` unless given. `expires_at`: RFC 3339.
        """
        return await self._transport.run(ops.create_key(name, scopes, expires_at))

    async def list(self) -> list[dict[str, Any]]:
        """Every key, without its secret."""
        return await self._transport.run(pages("/v1/api-keys"))

    async def revoke(self, key_id: str, *, keep_made: bool = False, force: bool = False) -> None:
        """Make a key useless from now on, with those that it made unless `keep_made`.

        Raises `Conflict` when no key with the scope admin would be left, unless `force`.
        """
        await self._transport.run(ops.revoke_key(key_id, keep_made=keep_made, force=force))
