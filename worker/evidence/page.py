"""The report as one page: no scripts, nothing loaded, every string of the data escaped."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from worker.evidence import wording
from worker.evidence.table import Cell, Column, Table

_FOLDED = ("metrics", "tuning")
_LIFTED = ("n", "seeds")
_STATUS = {
    "keeps": "Ahead of the cheap baselines",
    "cheap_would_do": "A cheap baseline would do",
    "undetermined": "Undetermined",
}


@dataclass(frozen=True)
class Figure:
    """A drawing ready to stand in the page."""

    name: str
    title: str
    svg: str


@dataclass(frozen=True)
class ShownCell:
    """A cell as text: the value and, smaller, its interval."""

    text: str
    interval: str = ""
    number: bool = False


@dataclass(frozen=True)
class ShownRow:
    """A row of a table; `group` is a heading to print above it, or ""."""

    cells: tuple[ShownCell, ...]
    group: str = ""
    stressed: bool = False


@dataclass(frozen=True)
class ShownTable:
    """A table as the page prints it. `heads`: (label, unit, is a number)."""

    name: str
    heading: str
    caption: str
    note: str
    heads: tuple[tuple[str, str, bool], ...]
    rows: tuple[ShownRow, ...]
    folded: bool


def render(report: dict[str, Any], tables: tuple[Table, ...], figures: list[Figure]) -> str:
    """The page of a report (`Report.json`), its tables and its drawings."""
    shown = [show(table) for table in tables]
    return _template().render(
        report=report,
        verdict=report["verdict"],
        status=status(report["verdict"]),
        headline=headline(report["verdict"]),
        key_figures=key_figures(report),
        tables={table.name: table for table in shown},
        shown=shown,
        figures=[{"name": f.name, "title": f.title, "svg": Markup(f.svg)} for f in figures],  # noqa: S704
        n_test=wording.number(report["test_units"]["value"]),
        environment=report["reproduce"].get("environment") or {},
    )


def status(verdict: dict[str, Any]) -> str:
    """The verdict's status for a reader."""
    if verdict["status"] == "keeps" and verdict["baseline"] is None:
        return "Measured"
    return _STATUS[verdict["status"]]


def headline(verdict: dict[str, Any]) -> str:
    """The verdict in a few words."""
    kept = verdict["fidelity"]
    if verdict["status"] == "undetermined" or kept is None:
        return "Undetermined"
    return f"Keeps {wording.number(100 * kept, 1)}\u202f% of full\u2011data {verdict['metric_label']}"


def key_figures(report: dict[str, Any]) -> list[dict[str, str]]:
    """The four or five numbers that a reader looks for first: label, value, and what it is over."""
    verdict = report["verdict"]
    sizes = next(table for table in report["tables"] if table["name"] == "sizes")["rows"]
    full, small = (next(row for row in sizes if row["role"] == role) for role in ("full", "summary"))
    units = report["units"]
    found = [_kept_figure(report)] if verdict["fidelity"] is not None else []
    found += [
        {
            "label": f"of the {units}",
            "value": wording.share(verdict["rows_share"]),
            "small": f"{wording.number(small['rows'], 0)} of {wording.number(full['rows'], 0)}",
        },
        {
            "label": "of the bytes",
            "value": wording.share(verdict["bytes_share"]),
            "small": f"{wording.size(small['bytes'])} of {wording.size(full['bytes'])}",
        },
    ]
    baseline = verdict["baseline"]
    if baseline:
        found.append(
            {
                "label": f"kept by {baseline['label']}",
                "value": f"{wording.number(100 * baseline['fidelity'], 1)}\u202f%",
                "small": _ends(100, baseline["low"], baseline["high"]),
            }
        )
    seconds = report["cost"]["distilling"]["seconds"]["value"]
    if seconds is not None:
        found.append({"label": "to make it", "value": wording.duration(seconds), "small": _paid(report)})
    return found


def show(table: Table) -> ShownTable:
    """A table as text: intervals inside their cell, n and seeds that are all equal in the caption."""
    ends = {key for column in table.columns for key in column.interval or ()}
    lifted = [c for c in table.columns if c.key in _LIFTED and _constant(table, c.key) is not None]
    columns = [
        c
        for c in table.columns
        if c.shown and c.key not in ends and c not in lifted and c.key != table.group
        if any(row.get(c.key) not in (None, "") for row in table.rows)
    ]
    said = [f"{c.key} = {wording.number(_constant(table, c.key), 0)} {c.unit}".strip() for c in lifted]
    rows, group = [], None
    for i, row in enumerate(table.rows):
        heading = str(row[table.group]) if table.group and row[table.group] != group else ""
        group = row[table.group] if table.group else None
        rows.append(ShownRow(tuple(_cell(c, row) for c in columns), heading, i in table.highlight))
    return ShownTable(
        table.name,
        table.heading,
        f"{table.caption} ({', '.join(said)})" if said else table.caption,
        table.note,
        tuple((c.label, _shown_unit(c), c.kind == "number") for c in columns),
        tuple(rows),
        table.name in _FOLDED,
    )


def _cell(column: Column, row: dict[str, Cell]) -> ShownCell:
    value = row.get(column.key)
    if column.kind == "text" or isinstance(value, str):
        return ShownCell("" if value is None else str(value))
    if column.unit == "B":
        return ShownCell(wording.size(value), number=True)
    if column.unit == "s":
        return ShownCell(wording.duration(value), number=True)
    text = wording.number(value, column.decimals)
    if column.interval is None or value is None:
        return ShownCell(text, number=True)
    low, high = (row.get(key) for key in column.interval)
    return ShownCell(text, _ends(1, low, high, column.decimals), number=True)


def _ends(scale: float, low: Any, high: Any, decimals: int = 1) -> str:
    if low is None or high is None or not (abs(low) < float("inf") and abs(high) < float("inf")):
        return ""
    return f"[{wording.number(scale * low, decimals)}, {wording.number(scale * high, decimals)}]"


def _shown_unit(column: Column) -> str:
    return "" if column.unit in ("B", "s") else column.unit


def _constant(table: Table, key: str) -> Any:
    values = {row.get(key) for row in table.rows}
    return values.pop() if len(values) == 1 else None


def _kept_figure(report: dict[str, Any]) -> dict[str, str]:
    verdict = report["verdict"]
    learner = verdict["learner_label"].replace("-", "\u2011")
    return {
        "label": f"of full-data {verdict['metric_label']}, {learner}",
        "value": f"{wording.number(100 * verdict['fidelity'], 1)}\u202f%",
        "small": _ends(100, verdict["low"], verdict["high"]),
    }


def _paid(report: dict[str, Any]) -> str:
    label = report["verdict"]["learner_label"]
    for row in report["cost"]["learners"]:
        if row["learner"] == label:
            said = row["break_even"]["said"]
            return {"never": "never pays by training time", "unknown": ""}.get(said, f"has paid {said}")
    return ""


@cache
def _template() -> Any:
    folder = Path(__file__).parent / "templates"
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html")
