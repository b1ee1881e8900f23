"""The report as Markdown, for merge requests and notebooks: verdict, warnings and tables."""

from __future__ import annotations

import re
from typing import Any

from worker.evidence.findings import Findings
from worker.evidence.page import ShownTable, show

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#])")


def render(report: dict[str, Any], found: Findings) -> str:
    """The text of a report (`Report.json`) of what was found; strings of the data cannot act as markup."""
    lines = [
        f"# {_plain(found.title)}",
        "",
        *(line for one in report["about"] for line in (_plain(one), "")),
        f"**{_plain(found.status)}.** {_plain(report['verdict']['sentence'])}",
        "",
    ]
    if report["warnings"]:
        lines += ["**Read this before you use it**", "", *(f"- {_plain(one)}" for one in report["warnings"]), ""]
    if found.unfinished:
        lines += [_plain(f"Judging ended early: {found.unfinished}"), ""]
    if found.because:
        lines += [_plain(found.because), ""]
    figures = [f"{one.value} {one.label}{f' ({one.small})' if one.small else ''}" for one in found.key_figures]
    lines += [*(f"- {_plain(one)}" for one in figures), ""] if figures else []
    for table in found.tables:
        lines += _table(show(table))
    if report["protocol"]["text"]:
        named = f" Protocol {report['protocol']['hash']}." if report["protocol"]["hash"] else ""
        lines += ["## How it was measured", "", _plain(report["protocol"]["text"] + named), ""]
    lines += ["## Repeat it", "", "```python", report["reproduce"]["python"], "```", "", _plain(found.footnote), ""]
    return "\n".join(lines)


def _table(table: ShownTable) -> list[str]:
    heads = [f"{label} ({unit})" if unit else label for label, unit, _ in table.heads]
    lines = [f"## {_plain(table.heading)}", ""] if table.heading else []
    lines += [
        _plain(table.caption),
        "",
        _row(heads),
        _row(["--:" if number else "---" for *_, number in table.heads], plain=True),
    ]
    for row in table.rows:
        if row.group:
            lines.append(_row([f"**{_plain(row.group)}**"] + [""] * (len(heads) - 1), plain=True))
        lines.append(_row([f"{cell.text} {cell.interval}".strip() for cell in row.cells]))
    return [*lines, "", *([_plain(table.note), ""] if table.note else [])]


def _row(cells: list[str], *, plain: bool = False) -> str:
    return f"| {' | '.join(cell if plain else _plain(cell) for cell in cells)} |"


def _plain(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text).replace("\n", " ").replace("\r", " ")
