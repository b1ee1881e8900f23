"""Credentials for the methods that say they need them: from the operator's file into the attempt, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from app.jobs.states import JobRow
from app.settings import Settings
from app.store.tables import method


class CredentialsUnreadable(Exception):
    """The operator's file of credentials is not there, or is not a JSON object of objects."""


def credentials_for(conn: Connection, settings: Settings, job: JobRow) -> dict[str, Any]:
    """Credentials by name; empty unless the job's method needs some and `credentials_file` is set."""
    needs = conn.scalar(select(method.c.needs).where(method.c.kind == job["kind"], method.c.name == job["method"]))
    return read_credentials(Path(settings.credentials_file)) if needs and settings.credentials_file else {}


def read_credentials(path: Path) -> dict[str, Any]:
    """The file's {name: {...}}; `CredentialsUnreadable` never shows what is in it."""
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as trouble:
        raise CredentialsUnreadable(type(trouble).__name__) from None
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise CredentialsUnreadable("not an object of objects")
    return found
