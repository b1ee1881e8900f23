"""Write docs/settings.md from the settings and the problem codes: `python -m docs.write_settings`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from app.api.problem_codes import CODES
from app.settings import DatabaseSettings, Settings
from app.store.roles import RoleSettings

PAGE = Path(__file__).with_name("settings.md")


def page() -> str:
    """The whole page."""
    of_roles = [one for one in RoleSettings.model_fields.items() if one[0] not in DatabaseSettings.model_fields]
    parts = [
        "# Settings and problem codes",
        "Written from the code by `make settings`; a test compares them. What `/metrics` shows is in "
        "[operations](operations.md).",
        "## Settings",
        "Each is an environment variable. Those without a default must be set; the embedded service sets them itself.",
        _table(("variable", "default", "meaning"), _rows(list(Settings.model_fields.items()))),
        "`python -m app.store.roles` alone, which makes the roles of the database, also reads",
        _table(("variable", "default", "meaning"), _rows(of_roles)),
        "## Problem codes",
        "The `code` of a refused request or a failed job; a running service explains it at `/problems/<code>`.",
        _table(("code", "status", "meaning"), [(f"`{code}`", str(c.status), c.meaning) for code, c in CODES.items()]),
    ]
    return "\n\n".join(parts) + "\n"


def _rows(named: list[tuple[str, FieldInfo]]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, field in named:
        default = "" if field.default is PydanticUndefined else f"`{_shown(field.default)}`"
        rows.append((f"`DISTILLERY_{name.upper()}`", default, str(field.description)))
    return rows


def _shown(value: Any) -> str:
    if value == "":
        return "(empty)"
    return f"{value:_}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(re.sub(r"\|", r"\\|", cell) for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page())
