"""datasets add|ls|show|rm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from distillery.cli.assignments import Assignments
from distillery.cli.output import AsJson, CreatedAfter, emit_json, failing_well, items, pairs, say, size, values
from distillery.cli.tables import table

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
            say(dataset.reference)


@app.command("ls")
@failing_well
def list_datasets(
    state: Annotated[str | None, typer.Option(help="open, ingesting, ready or failed.")] = None,
    name: Annotated[str | None, typer.Option(help="Only with this in the name.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only of one kind.")] = None,
    created_after: CreatedAfter = None,
    exports: Annotated[bool, typer.Option("--exports", help="Also datasets that summaries were exported as.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the datasets that were uploaded, newest first."""
    from distillery import Client

    with Client() as client:
        found = client.datasets.list(state=state, name=name, kind=kind, created_after=created_after, exports=exports)
    if as_json:
        emit_json(items([dataset.view for dataset in found]))
    else:
        rows = [(d.reference, d.state, d.kind, rows_of(d.view), size(d.view["size"]), d.name) for d in found]
        table(["dataset", "state", "kind", "rows", "size", "name"], rows, right=(3, 4))


@app.command()
@failing_well
def show(dataset: Reference, as_json: AsJson = False) -> None:
    """Show a dataset, and of each version what was recognised in its files, what was counted, and the warnings."""
    from distillery import Client

    with Client() as client:
        found = client.datasets.get(dataset)
        versions = found.versions()
    if as_json:
        emit_json({**found.view, "versions": versions})
        return
    about = [rows_of(found.view), size(found.view["size"])]
    say(f"{found.reference}  {'  '.join([found.kind, found.state, *filter(None, about)])}  {found.name}")
    for version in versions:
        _show_version(version)


@app.command()
@failing_well
def rm(
    dataset: Reference,
    force: Annotated[bool, typer.Option("--force", help="Also while jobs use it.")] = False,
    cascade: Annotated[bool, typer.Option("--cascade", help="With everything that was made from it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove a dataset with all its versions."""
    from distillery import Client

    with Client() as client:
        found = client.datasets.get(dataset)
        found.delete(force=force, cascade=cascade)
    if as_json:
        emit_json(found.view)
    else:
        say(f"Removed {found.id} ({found.name}).")


def rows_of(view: dict[str, Any]) -> str:
    """How many there are of what the kind counts: `943 users`; empty while that is not known."""
    return "" if view.get("rows") is None else f"{view['rows']:,} {view.get('units') or 'rows'}"


def _show_version(version: dict[str, Any]) -> None:
    say(f"\n{version['reference']}  {version['state']}")
    for name in ("detection", "statistics"):
        if content := version.get(name):
            say(f"  {name}")
            for key, value in content.items():
                say(f"    {key}: {value if not isinstance(value, dict | list) else json.dumps(value)}")
    for line in version.get("warnings") or ():
        say(f"  warning: {line}")
    if error := version.get("error"):
        say(f"  {error['code']}: {error['detail']}")
        if error.get("hint"):
            say(f"  {error['hint']}")
