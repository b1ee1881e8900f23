"""The commands, put together. Whatever is slow to import is imported by the command that needs it."""

from __future__ import annotations

from typing import Annotated

import typer

from distillery.cli import datasets, demo, jobs, keys, methods, results, run, service
from distillery.cli.assignments import Assignments

app = typer.Typer(
    help="Turn a large dataset into a tiny summary that trains models as well as the whole.\n\n"
    "Talks to DISTILLERY_URL with DISTILLERY_API_KEY, else to the service that `distillery up` started here.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"distillery {version('distillery-service')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None: ...


for command in (service.up, service.down, service.status, service.doctor, demo.demo):
    app.command(rich_help_panel="The service on this machine")(command)
app.add_typer(datasets.app, name="datasets", rich_help_panel="Data")
app.command(rich_help_panel="Work")(methods.methods)
app.command(rich_help_panel="Work", cls=Assignments)(run.run)
app.add_typer(jobs.app, name="jobs", rich_help_panel="Work")
for command in (results.summaries, results.reports, results.get, results.report):
    app.command(rich_help_panel="Results")(command)
app.add_typer(keys.app, name="keys", rich_help_panel="Access")
