"""The report as one page: no scripts, nothing loaded, every string of the data escaped."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from worker.evidence import wording
from worker.evidence.findings import Findings
from worker.evidence.page_table import ShownCell, ShownRow, ShownTable
from worker.evidence.table import Cell, Column, Table

_LIFTED = ("n", "draws", "seeds")


@dataclass(frozen=True)
class Figure:
    """A drawing ready to stand in the page, and the table behind it."""

    name: str
    title: str
    svg: str
    table: ShownTable


def render(report: dict[str, Any], found: Findings, figures: list[Figure]) -> str:
    """The page of a report (`Report.json`) of what was found, with its drawings."""
    return _template().render(
        report=report,
        found=found,
        shown=[show(table) for table in found.tables],
        pictures=[
            {"title": one.title, "description": one.description, "data": b64encode(one.png).decode()}
            for one in found.pictures
        ],
        figures=[{"name": f.name, "title": f.title, "svg": Markup(f.svg), "table": f.table} for f in figures],  # noqa: S704
        environment=report["reproduce"].get("environment") or {},
    )


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
        tuple((c.label, c.shown_unit, c.kind == "number") for c in columns),
        tuple(rows),
        table.folded,
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
    low, high = (_number(row.get(key)) for key in column.interval)
    return ShownCell(text, wording.ends(low, high, decimals=column.decimals), number=True)


def _number(cell: Cell) -> float | None:
    return None if cell is None or isinstance(cell, str) else cell


def _constant(table: Table, key: str) -> Any:
    values = {row.get(key) for row in table.rows}
    return values.pop() if len(values) == 1 else None


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
