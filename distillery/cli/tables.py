"""Tables that fit the terminal: nothing is cut off, since what stands in them is to be copied.

Text is wrapped between words; columns that still have no room go to a second line of their row.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from distillery._terminal import plain
from distillery.cli.output import say

_GAP = "  "
_INDENT = "    "


def table(headings: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[int] = ()) -> None:
    """Print a table of aligned columns; `right` names the columns that are aligned to the right, by index.

    Where there is no terminal, each row is one line.
    """
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in lines(headings, rows, right=right, width=width):
        say(line)


def lines(
    headings: Sequence[str], rows: Sequence[Sequence[Any]], *, right: Sequence[int] = (), width: int | None = None
) -> list[str]:
    """The lines of the table, none longer than `width` unless a single word is."""
    texts = [list(headings), *([plain(str(cell)) if cell is not None else "" for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in texts) for i in range(len(headings))]
    if width is not None:
        words = [max((len(w) for row in texts for w in row[i].split()), default=0) for i in range(len(headings))]
        least = [widths[i] if i in right else words[i] for i in range(len(headings))]
        folds = _folded(least, width)
        for number, fold in enumerate(folds):
            _shrink(fold, widths, least, width - (len(_INDENT) if number else 0))
    else:
        folds = [list(range(len(headings)))]
    return [line for row in texts for line in _row(row, folds, widths, right)]


def _folded(least: Sequence[int], width: int) -> list[list[int]]:
    """The columns, by index, that share a line: as many as fit at their least widths."""
    folds: list[list[int]] = [[]]
    room = width
    for column, needed in enumerate(least):
        if folds[-1] and needed > room:
            folds.append([])
            room = width - len(_INDENT)
        folds[-1].append(column)
        room -= needed + len(_GAP)
    return folds


def _shrink(fold: Sequence[int], widths: list[int], least: Sequence[int], room: int) -> None:
    """Narrow the widest columns of a line, in place, until it fits or none can be narrowed further."""
    while sum(widths[c] for c in fold) + len(_GAP) * (len(fold) - 1) > room:
        wide = max((c for c in fold if widths[c] > least[c]), key=lambda c: widths[c], default=None)
        if wide is None:
            return
        widths[wide] -= 1


def _row(row: Sequence[str], folds: Sequence[Sequence[int]], widths: Sequence[int], right: Sequence[int]) -> list[str]:
    found: list[str] = []
    for number, fold in enumerate(folds):
        cells = [textwrap.wrap(row[c], widths[c], break_long_words=False, break_on_hyphens=False) or [""] for c in fold]
        for parts in zip_longest(*cells, fillvalue=""):
            aligned = [
                part.rjust(widths[c]) if c in right else part.ljust(widths[c])
                for c, part in zip(fold, parts, strict=True)
            ]
            line = ((_INDENT if number else "") + _GAP.join(aligned)).rstrip()
            if line or not number:
                found.append(line)
    return found
