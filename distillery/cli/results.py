"""summaries, reports, get and report: what jobs made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from distillery.cli.output import AsJson, CreatedAfter, emit_json, failing_well, items, minute, say, seconds, size
from distillery.cli.tables import table

if TYPE_CHECKING:
    from distillery._resources import Report

_MISSING = "–"
_LEFT_OUT = {"role", "chosen", "draws", "timed_in"}  # too wide for a terminal; --json and the page have them


Of = Annotated[str | None, typer.Option("--dataset", help="Only those of one dataset.")]
Kind = Annotated[str | None, typer.Option(help="Only those of one kind.")]


@failing_well
def summaries(
    dataset: Of = None, kind: Kind = None, created_after: CreatedAfter = None, as_json: AsJson = False
) -> None:
    """List the summaries, newest first."""
    from distillery import Client

    with Client() as client:
        found = [one.view for one in client.summaries(dataset=dataset, kind=kind, created_after=created_after)]
    if as_json:
        emit_json(items(found))
    else:
        rows = [(s["id"], s["method"], s["source"], size(s["size"]), minute(s["created_at"])) for s in found]
        table(["summary", "method", "made from", "size", "created"], rows, right=(3,))


@failing_well
def reports(dataset: Of = None, kind: Kind = None, created_after: CreatedAfter = None, as_json: AsJson = False) -> None:
    """List the reports with their verdicts, newest first."""
    from distillery import Client

    with Client() as client:
        found = [one.view for one in client.reports(dataset=dataset, kind=kind, created_after=created_after)]
    if as_json:
        emit_json(items(found))
    else:
        rows = [(r["id"], r["method"], minute(r["created_at"]), r["verdict"].get("sentence", "")) for r in found]
        table(["report", "method", "created", "verdict"], rows)


@failing_well
def get(
    summary: Annotated[str, typer.Argument(help="sum_…", metavar="SUMMARY")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for its files; default: one named after the summary.")
    ] = None,
    as_zip: Annotated[bool, typer.Option("--zip", help="One zip file instead; default: in this folder.")] = False,
    as_json: AsJson = False,
) -> None:
    """Download a summary; every file is checked against its digest."""
    from distillery import Client
    from distillery._progress import reporter

    with Client() as client:
        found = client.summary(summary)
        with reporter(True, "get") as progress:
            where = found.download(out or ("." if as_zip else summary), as_zip=as_zip, progress=progress)
        if as_json:
            emit_json(found.manifest())
        else:
            say(str(where))


@failing_well
def report(
    report: Annotated[str, typer.Argument(help="rep_…", metavar="REPORT")],
    html: Annotated[Path | None, typer.Option(help="Write the report as one page to this file.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the evidence about a summary."""
    from distillery import Client

    with Client() as client:
        found = client.report(report)
        if html is not None:
            found.save(html if html.suffix in (".html", ".htm") else html.with_name(html.name + ".html"))
        if as_json:
            emit_json(found.json())
        else:
            show_report(found)
            if html is not None:
                say(f"\nPage: {html}")


def show_report(found: Report) -> None:
    """What it is about, the verdict with its warnings, the key figures, the first table, what it saved and cost."""
    document = found.json()  # of any version: those made before an upgrade lack some fields
    for line in document.get("about", []):
        say(line)
    if document.get("headline"):
        say(f"\n{document['headline']} ({document['verdict']['label']})")
    say(found.verdict)
    for warning in document["warnings"]:
        say(f"Warning: {warning}")
    for said in (document.get("unfinished"), document.get("because")):
        if said:
            say(f"\n{said}")
    figures = [(one["value"], one["label"], one["small"]) for one in document.get("key_figures", [])]
    if figures:
        say()
        table(["", "", ""], figures, right=(0,))
    for number, one in enumerate(document["tables"]):
        if number == 0 or one["name"] in ("sizes", "cost"):
            say()
            show_table(one)


def show_table(one: dict[str, Any]) -> None:
    """A table of a report, for a terminal: the ends of an interval stand in brackets behind their value."""
    say(one["caption"])
    ends = {key for column in one["columns"] for key in column.get("interval") or ()}
    columns = [c for c in one["columns"] if c["key"] not in ends | _LEFT_OUT and c.get("shown", True)]
    headings = [c.get("heading", c["label"]) for c in columns]
    rows = [[_cell(row, column) for column in columns] for row in one["rows"]]
    table(headings, rows, right=[i for i, c in enumerate(columns) if c["kind"] == "number"])
    if one.get("note"):
        say(one["note"])


def _cell(row: dict[str, Any], column: dict[str, Any]) -> str:
    interval = [row.get(key) for key in column.get("interval") or ()]
    text = _text(row.get(column["key"]), column)
    ends = ", ".join(_text(end, column) for end in interval)
    return f"{text} [{ends}]" if None not in interval and interval else text


def _text(value: Any, column: dict[str, Any]) -> str:
    """A cell as the page shows it: sizes and durations with their units, numbers with as many digits."""
    if value is None:
        return _MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    if column["unit"] == "B":
        return size(int(value)) or "0 B"
    if column["unit"] == "s":
        return seconds(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{column.get('decimals', 1)}f}"
