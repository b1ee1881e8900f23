"""methods: the catalogue."""

from __future__ import annotations

from typing import Annotated

import typer

from distillery.cli.output import AsJson, emit_json, failing_well, items
from distillery.cli.tables import table


@failing_well
def methods(
    kind: Annotated[str | None, typer.Option(help="Only those of one kind.")] = None, as_json: AsJson = False
) -> None:
    """List what can be run; --json has the schema of every parameter."""
    from distillery import Client

    with Client() as client:
        found = client.methods(kind)
    if as_json:
        emit_json(items(found))
    else:
        rows = [(m["kind"], m["name"], m["task"], m["version"], m["summary"]) for m in found]
        table(["kind", "method", "task", "version", "what it does"], rows, right=(3,))
