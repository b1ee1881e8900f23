"""A table of a report: typed columns with units, rows of plain values, and its two exports."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from typing import Any, Literal

Cell = str | int | float | bool | None
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Column:
    """One column. `unit`: what the numbers count ("%", "s", "B", "users", "points"); text columns have none.

    `decimals`: digits after the point when shown to a reader; exports keep full precision. `interval`: keys of the
    columns with the ends of this one's 95 % interval, shown in the same cell. `shown`: whether a page shows it.
    """

    key: str
    label: str
    kind: Literal["text", "number"] = "number"
    unit: str = ""
    decimals: int = 1
    interval: tuple[str, str] | None = None
    shown: bool = True

    @property
    def shown_unit(self) -> str:
        """The unit that a heading must add: none that the label says already, none that every cell carries."""
        return "" if self._says_unit or self.unit in ("B", "s") else self.unit

    @property
    def _says_unit(self) -> bool:
        return self.unit.lower() in self.label.lower().split()

    @property
    def heading_of_numbers(self) -> str:
        """Label and unit where cells are bare numbers."""
        return self.label if self._says_unit or not self.unit else f"{self.label} ({self.unit})"

    @property
    def heading(self) -> str:
        """Label and unit in one line."""
        return f"{self.label} ({self.shown_unit})" if self.shown_unit else self.label


@dataclass(frozen=True)
class Table:
    """A named table; every row maps column keys to values. `heading`: what a page prints above it.

    `group`: key of a column whose equal neighbours are shown under one heading. `highlight`: rows to stress, by index.
    `folded`: a page shows it only when asked to.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[dict[str, Cell], ...]
    note: str = ""
    heading: str = ""
    group: str = ""
    highlight: tuple[int, ...] = ()
    folded: bool = False

    def to_json(self) -> dict[str, Any]:
        """The table as JSON-able values; what is not a finite number becomes null."""
        return {
            "name": self.name,
            "caption": self.caption,
            "note": self.note,
            "columns": [
                {
                    "key": c.key,
                    "label": c.label,
                    "heading": c.heading,
                    "kind": c.kind,
                    "unit": c.unit,
                    "decimals": c.decimals,
                    "interval": list(c.interval or ()),
                    "shown": c.shown,
                }
                for c in self.columns
            ],
            "rows": [{c.key: finite(row.get(c.key)) for c in self.columns} for row in self.rows],
        }

    def to_csv(self) -> str:
        """The table as CSV with units in the header; string cells cannot act as spreadsheet formulas."""
        out = io.StringIO()
        # RFC 4180 line ends: with "\n" alone the module leaves cells with a carriage return unquoted.
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow([formula_safe(column.heading_of_numbers) for column in self.columns])
        for row in self.rows:
            writer.writerow([_csv_cell(row.get(column.key)) for column in self.columns])
        return out.getvalue()


def formula_safe(text: str) -> str:
    """Text that no spreadsheet evaluates: a quote goes before what would start a formula."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def finite(value: Any) -> Any:
    """The value as plain Python, None for NaN and infinities (JSON has neither)."""
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _csv_cell(value: Cell) -> Cell:
    value = finite(value)
    if value is None:
        return ""
    return formula_safe(value) if isinstance(value, str) else value
