"""up, down, status, doctor: the service on this machine."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from distillery._home import EmbeddedService, default_home, look
from distillery.cli.output import AsJson, emit_json, failing_well, say
from distillery.cli.tables import table
from distillery.errors import NotConfigured

HomeOption = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the service. Default: $DISTILLERY_HOME, else /var/lib/distillery for root, else the "
        "user's data folder."
    ),
]


@failing_well
def up(
    home: HomeOption = None,
    port: Annotated[int | None, typer.Option(help="Default: 8080 or the next free one; 0: any.")] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once it is ready.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start the service: Postgres, Redis, dispatcher, worker and API, all in one folder."""
    from distillery.cli import embedded

    folder = place(home)
    found = look(folder)
    if found.ready:
        _tell(found, as_json=as_json, note="already running")
        return
    # Stopping us, however it is asked for, stops the service that runs in front of us.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    process = embedded.start(folder, port, detach=detach)
    try:
        ready = embedded.wait_until_ready(folder, process, _tell_part)
        _tell(ready, as_json=as_json, note="ready")
        if not detach:
            say("Ctrl-C stops it.", file=sys.stderr)
            raise typer.Exit(process.wait())
    except KeyboardInterrupt:
        process.terminate()
        say("Stopping.", file=sys.stderr)
        raise typer.Exit(process.wait()) from None


@failing_well
def down(home: HomeOption = None, as_json: AsJson = False) -> None:
    """Stop the service. Unfinished jobs go on where they were at the next start."""
    from distillery.cli import embedded

    found = look(place(home))
    if found.running:
        embedded.stop(found)
    if as_json:
        emit_json(_document(look(found.home)))
    else:
        say(f"{'Stopped' if found.running else 'Nothing was running'} in {found.home}.")


@failing_well
def status(
    home: HomeOption = None,
    env: Annotated[bool, typer.Option("--env", help='Shell lines for eval "$(distillery status --env)".')] = False,
    as_json: AsJson = False,
) -> None:
    """Say what runs, and where."""
    found = look(place(home))
    if env:
        if not found.ready:
            raise NotConfigured(f"No service is running in {found.home}.", "Start one with `distillery up`.")
        say(f"export DISTILLERY_URL={shlex.quote(found.url)}")
        say(f"export DISTILLERY_API_KEY={shlex.quote(found.api_key())}")
    elif as_json:
        emit_json(_document(found))
    else:
        say(f"{found.state}{f' at {found.url}' if found.running else ''}, home {found.home}")
        rows = [(n, p.get("state"), p.get("pid") or "", p.get("restarts")) for n, p in (found.parts or {}).items()]
        if rows:
            table(["part", "state", "pid", "restarts"], rows, right=(2, 3))


@failing_well
def doctor(home: HomeOption = None, as_json: AsJson = False) -> None:
    """Look for what stands in the way: folders, disk, memory, engines, port, GPU, schema. Changes nothing."""
    from distillery.cli import embedded

    found = embedded.doctor_checks(place(home))
    if as_json:
        emit_json({"ok": all(check["ok"] for check in found), "checks": found})
    else:
        for check in found:
            say(f"{'ok  ' if check['ok'] else 'FAIL'}  {check['name']}: {check['detail']}")
            if not check["ok"] and check.get("hint"):
                say(f"      {check['hint']}")
    if not all(check["ok"] for check in found):
        raise typer.Exit(1)


def place(home: Path | None) -> Path:
    """The home that is meant, as an absolute path."""
    return (home or default_home()).expanduser().absolute()


def _document(found: EmbeddedService) -> dict[str, Any]:
    return {
        "url": found.url or None,
        "home": str(found.home),
        "state": found.state,
        "pid": found.pid or None,
        "parts": found.parts or {},
    }


def _tell(found: EmbeddedService, *, as_json: bool, note: str) -> None:
    key = found.api_key()
    if as_json:
        emit_json({**_document(found), "api_key": key})
        return
    say(f"Distillery is {note} at {found.url}")
    say(f"  page    {found.url}/ui")
    say(f"  API     {found.url}/docs")
    say(f"  home    {found.home}")
    say(f"  API key {key}")
    sys.stdout.flush()


def _tell_part(name: str) -> None:
    say(f"{name} is ready", file=sys.stderr)
