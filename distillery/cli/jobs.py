"""jobs ls|show|watch|cancel|retry|rm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from distillery.cli.output import AsJson, CreatedAfter, emit_json, failing_well, items, minute, say
from distillery.cli.tables import table

if TYPE_CHECKING:
    from distillery._resources import Job

app = typer.Typer(help="Jobs: list, look at, follow, stop, try again, remove.", no_args_is_help=True)
JobId = Annotated[str, typer.Argument(help="job_…", metavar="JOB")]


@app.command("ls")
@failing_well
def list_jobs(
    state: Annotated[str | None, typer.Option(help="queued, running, succeeded, failed, cancelled ...")] = None,
    task: Annotated[str | None, typer.Option(help="distil, select, evaluate, ingest ...")] = None,
    dataset: Annotated[str | None, typer.Option(help="Only those on one dataset.")] = None,
    label: Annotated[str | None, typer.Option(help="NAME=VALUE")] = None,
    created_after: CreatedAfter = None,
    as_json: AsJson = False,
) -> None:
    """List the jobs, newest first."""
    from distillery import Client

    with Client() as client:
        found = client.jobs(state=state, task=task, dataset=dataset, label=label, created_after=created_after)
    if as_json:
        emit_json(items([job.view for job in found]))
    else:
        rows = [(j.id, j.state, j.view["method"], j.view["dataset"], minute(j.view["created_at"])) for j in found]
        table(["job", "state", "method", "dataset", "created"], rows)


@app.command()
@failing_well
def show(job: JobId, as_json: AsJson = False) -> None:
    """Show how a job stands."""
    from distillery import Client

    with Client() as client:
        found = client.job(job)
        if as_json:
            emit_json(found.view)
        else:
            show_job(found)


@app.command()
@failing_well
def watch(job: JobId, as_json: AsJson = False) -> None:
    """Follow a job to its end. Ctrl-C stops the following, not the job."""
    from distillery import Client

    with Client() as client:
        found = client.job(job).wait(progress=True)
        if as_json:
            emit_json(found.view)
        else:
            show_job(found)


@app.command()
@failing_well
def cancel(job: JobId, as_json: AsJson = False) -> None:
    """Ask a job to stop."""
    from distillery import Client

    with Client() as client:
        found = client.job(job).cancel()
    if as_json:
        emit_json(found.view)
    else:
        say(f"{found.id} {found.state}")


@app.command()
@failing_well
def retry(job: JobId, as_json: AsJson = False) -> None:
    """Do a job that ended again, from its last checkpoint; prints the new job."""
    from distillery import Client

    with Client() as client:
        found = client.job(job).retry()
    if as_json:
        emit_json(found.view)
    else:
        say(found.id)


@app.command()
@failing_well
def rm(job: JobId, as_json: AsJson = False) -> None:
    """Remove a job that has ended; what it made stays."""
    from distillery import Client

    with Client() as client:
        found = client.job(job)
        found.delete()
    if as_json:
        emit_json(found.view)
    else:
        say(f"Removed {found.id}.")


def show_job(job: Job) -> None:
    """A job for people: what, how it stands, what it made, and the verdict where there is one."""
    view = job.view
    say(f"{job.id}  {job.state}  {view['method']} on {view['dataset']}")
    if job.cached_from:
        say(f"  answered from    {job.cached_from}, which did the same")
    progress = view.get("progress") or {}
    if progress.get("phase") and job.state in ("running", "cancelling"):
        say(f"  {progress['phase']}  {100 * (progress.get('fraction') or 0):.0f} %")
    for name, value in job.result.items():
        say(f"  {name:<16} {value}")
    if job.result.get("report"):
        report = job.report
        say(f"\n{report.verdict}")
        for warning in report.json()["warnings"]:
            say(f"Warning: {warning}")
    error = view.get("error")
    if error:
        say(f"  {error['code']}: {error['detail']}")
        if error.get("hint"):
            say(f"  {error['hint']}")
