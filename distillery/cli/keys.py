"""keys create|ls|revoke."""

from __future__ import annotations

from typing import Annotated

import typer

from distillery.cli.output import AsJson, emit_json, failing_well, items, minute, say
from distillery.cli.tables import table

app = typer.Typer(help="API keys (needs a key with the scope admin).", no_args_is_help=True)


@app.command()
@failing_well
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="Such as jobs:read; may be repeated. Default: all but admin and webhooks:write."),
    ] = None,
    expires_at: Annotated[str | None, typer.Option(help="When it ends, as 2030-01-31T12:00:00Z.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key; it is shown this once."""
    from distillery import Client

    with Client() as client:
        made = client.keys.create(name, scopes=scope, expires_at=expires_at)
    if as_json:
        emit_json(made)
    else:
        say(made["token"])


@app.command("ls")
@failing_well
def list_keys(as_json: AsJson = False) -> None:
    """List the keys, without their secrets."""
    from distillery import Client

    with Client() as client:
        found = client.keys.list()
    if as_json:
        emit_json(items(found))
    else:
        rows = [
            (k["id"], k["name"], " ".join(k["scopes"]), minute(k["created_at"]), minute(k.get("revoked_at") or ""))
            for k in found
        ]
        table(["key", "name", "scopes", "created", "revoked"], rows)


@app.command()
@failing_well
def revoke(
    key: Annotated[str, typer.Argument(help="key_…", metavar="KEY")],
    keep_made: Annotated[bool, typer.Option("--keep-made", help="Keys that it made stay.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even the last one with the scope admin.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a key useless from now on, with those that it made."""
    from distillery import Client

    with Client() as client:
        client.keys.revoke(key, keep_made=keep_made, force=force)
        left = client.keys.list() if as_json else []
    if as_json:
        emit_json(next((one for one in left if one["id"] == key), {"id": key}))
    else:
        say(f"Revoked {key}.")
