"""datasets add|ls|show|rm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from distillery.cli.assignments import Assignments
from distillery.cli.output import AsJson, emit_json, failing_well, items, pairs, table, values

app = typer.Typer(help="Datasets: upload, list, look at, remove.", no_args_is_help=True)
Reference = Annotated[str, typer.Argument(help="ds_… or ds_…@1", metavar="DATASET")]


@app.command(cls=Assignments)
@failing_well
def add(
    paths: Annotated[list[Path], typer.Argument(help="Files, or one folder.", metavar="PATH...")],
    kind: Annotated[str, typer.Option(help="What the data is, such as interactions.")],
    name: Annotated[str | None, typer.Option(help="What to call it; default: the file's name.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="ROLE=COLUMN, such as user=uid; in a file without header the column's number, user=0."),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", help="OPTION=VALUE of the kind, such as split=clean.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Upload files as a dataset, wait until they are read, and print its reference."""
    from distillery import Client

    with Client() as client:
        dataset = client.datasets.upload(
            [str(path) for path in paths],
            kind=kind,
            name=name,
            columns=pairs(column or [], "--column"),
            options=values(option or [], "-o"),
            progress=True,
        )
        if as_json:
            emit_json(dataset.view)
        else:
            print(dataset.reference)


@app.command("ls")
@failing_well
def list_datasets(as_json: AsJson = False) -> None:
    """List the datasets, newest first."""
    from distillery import Client

    with Client() as client:
        found = client.datasets.list()
    if as_json:
        emit_json(items([dataset.view for dataset in found]))
    else:
        rows = [(d.reference, d.kind, d.name, d.view.get("created_at", "")) for d in found]
        table(["dataset", "kind", "name", "created"], rows)


@app.command()
@failing_well
def show(dataset: Reference, as_json: AsJson = False) -> None:
    """Show what is known about a dataset."""
    from distillery import Client

    with Client() as client:
        found = client.datasets.get(dataset)
        if as_json:
            emit_json(found.view)
            return
        versions = found.versions()
    print(f"{found.reference}  {found.kind}  {found.name}")
    for version in versions:
        _show_version(version)


@app.command()
@failing_well
def rm(
    dataset: Reference,
    force: Annotated[bool, typer.Option("--force", help="Also while jobs use it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove a dataset with all its versions."""
    from distillery import Client

    with Client() as client:
        found = client.datasets.get(dataset)
        found.delete(force=force)
    if as_json:
        emit_json(found.view)
    else:
        print(f"Removed {found.id} ({found.name}).")


def _show_version(version: dict[str, Any]) -> None:
    print(f"\n{version['reference']}  {version['state']}")
    for name in ("statistics", "warnings"):
        content = version.get(name)
        if isinstance(content, dict):
            for key, value in content.items():
                print(f"  {key}: {value if not isinstance(value, dict | list) else json.dumps(value)}")
        elif content:
            for line in content:
                print(f"  {name}: {line}")
