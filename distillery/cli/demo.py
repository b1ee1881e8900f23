"""demo: a real dataset in, a tiny summary and its evidence out, on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import sys
import time
from collections.abc import Generator
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distillery._home import EmbeddedService, look
from distillery.cli.output import AsJson, emit_json, failing_well, say, size
from distillery.cli.service import HomeOption, place

if TYPE_CHECKING:
    from distillery._client import Client
    from distillery._resources import Dataset, Job

BUDGET = "2%"
LEARNERS = ("popularity", "ease", "infinite-ae")


@failing_well
def demo(
    home: HomeOption = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the service running.")] = False,
    as_json: AsJson = False,
) -> None:
    """Distil the bundled dataset (UCI MSWeb, CC BY 4.0) and show what the summary is worth.

    Uses the same home as `up`, so that the results are still there afterwards. Starts the service if it does not run,
    and stops it again unless --keep is given. A second run is answered from the first one's results.
    """
    from distillery import Client

    began = time.monotonic()
    with _service(place(home), keep=keep) as service, Client(service.url, service.api_key()) as client:
        dataset = _dataset(client)
        _say(f"Distilling {dataset.reference} ({dataset.name}) to {BUDGET} of its bytes.")
        evaluate = {"learners": list(LEARNERS)}
        job = client.distil(dataset, budget=BUDGET, evaluate=evaluate, labels={"from": "demo"})
        job.wait(progress=True)
        if job.cached_from:
            _say(f"The same was done before ({job.cached_from}); this is its result.")
        folder = job.summary.download(service.home / "demo" / job.summary.id)
        page = job.report.save(folder / "report.html")
        document = _document(service, dataset, job, folder, page, seconds=time.monotonic() - began)
        if as_json:
            emit_json(document)
        else:
            _show(job, document)


@contextlib.contextmanager
def _service(home: Path, *, keep: bool) -> Generator[EmbeddedService]:
    """The running service of a home; one that was not running is stopped afterwards, whatever happens."""
    from distillery.cli import embedded

    found = look(home)
    if found.ready:
        yield found
        return
    _say(f"Starting the service in {home}.")
    process = embedded.start(home, 0, detach=True)
    done = False
    try:
        yield embedded.wait_until_ready(home, process, lambda part: _say(f"  {part} is ready"))
        done = True
    finally:
        if not (keep and done):
            _say("Stopping the service.")
            process.terminate()
            process.wait()


def _dataset(client: Client) -> Dataset:
    """The bundled dataset as the service has it: uploaded now, or by an earlier run."""
    with as_file(files("distillery") / "data" / "msweb.parquet") as path:
        name = f"msweb-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"  # other bytes, other dataset
        for dataset in client.datasets.list():
            if dataset.name == name and dataset.state == "ready":
                return dataset
        return client.datasets.upload(
            path,
            kind="interactions",
            name=name,
            columns={"user": "user_id", "item": "item_id"},
            progress=True,
        )


def _document(
    service: EmbeddedService, dataset: Dataset, job: Job, folder: Path, page: Path, *, seconds: float
) -> dict[str, Any]:
    report = job.report.json()
    return {
        "headline": headline(report),
        "url": service.url,
        "home": str(service.home),
        "dataset": dataset.reference,
        "job": job.view,
        "verdict": report["verdict"],
        "summary": {"id": job.summary.id, "folder": str(folder)},
        "report": {"id": job.report.id, "page": str(page)},
        "seconds": round(seconds, 1),
    }


def headline(report: dict[str, Any]) -> str:
    """What the bytes keep, beside the best simple pick of as many bytes and both sizes compressed without loss."""
    verdict = report["verdict"]
    tables = {table["name"]: table["rows"] for table in report["tables"]}
    sizes = {row["role"]: row for row in reversed(tables["sizes"])}
    part = sizes["summary"]["bytes_share"]
    found = [f"{part:.2g} % of the bytes keep {100 * verdict['value']:.1f} % of full-data {verdict['metric_label']}."]
    equal = [
        row
        for row in tables["fidelity"]
        if row["role"] == "baseline" and "equal bytes" in row["set"] and row["learner"] == verdict["learner_label"]
    ]
    if equal:
        best = max(equal, key=lambda row: row["kept"])
        found.append(f"The best simple pick, {best['set']}, keeps {best['kept']:.1f} %.")
    full, own = (sizes[role]["compressed"] for role in ("full", "summary"))
    found.append(f"Compressed without loss, the source takes {size(full)} and the summary {size(own)}.")
    return " ".join(found)


def _show(job: Job, document: dict[str, Any]) -> None:
    from distillery.cli.results import show_report

    say(f"\n{document['headline']}\n")
    show_report(job.report)
    say(f"\nSummary  {document['summary']['folder']}")
    say(f"Report   {document['report']['page']}")
    say(f"Done in {document['seconds']:.0f} s. `distillery up` starts the service for your own data.")


def _say(text: str) -> None:
    say(text, file=sys.stderr, flush=True)
