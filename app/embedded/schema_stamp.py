"""Remembers that a database is at this code's schema, so that a later start need not load Alembic to find out."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from app.embedded.errors import EmbeddedError
from app.embedded.home import Home, write_private
from app.embedded.postgres import Postgres

_MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def note(home: Home, revision: str | None) -> None:
    """Write down, after a migration, which revision these migrations led to, and for which passwords."""
    noted = {"migrations": _digest(), "revision": revision, "config": _config_digest(home)}
    write_private(_file(home), json.dumps(noted))


def still_holds(home: Home, postgres: Postgres) -> bool:
    """Whether migrations and passwords are the noted ones, the database is where they led, and a first key exists."""
    try:
        noted: dict[str, Any] = json.loads(_file(home).read_text(encoding="utf-8"))
        return (
            home.credentials.exists()
            and noted["migrations"] == _digest()
            and noted["config"] == _config_digest(home)
            and noted["revision"] == postgres.scalar("SELECT version_num FROM alembic_version")
        )
    except (OSError, ValueError, KeyError, TypeError, EmbeddedError):
        return False


def _file(home: Home) -> Path:
    return home.run / "schema"


def _config_digest(home: Home) -> str:
    return hashlib.sha256(home.config.read_bytes()).hexdigest()


def _digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(_MIGRATIONS.rglob("*")):
        if path.suffix in (".py", ".sql"):
            digest.update(path.relative_to(_MIGRATIONS).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
