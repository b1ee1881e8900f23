"""A table as the page prints it: every cell is text already."""

from __future__ import annotations

from dataclasses import dataclass


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
