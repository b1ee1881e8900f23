"""Brings the database to this schema and makes the first API key: `python -m app.embedded.prepare HOME`.

A process of its own, so that the supervisor, which stays, never loads SQLAlchemy.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from app.embedded import schema_stamp
from app.embedded.home import Home, write_private
from app.store.api_keys import ensure_first_key
from app.store.migrate import head_revision, upgrade


def prepare(home: Home, url: str) -> None:
    """Migrate, and write an admin key to `run/credentials` when there is none."""
    upgrade(url)
    if not home.credentials.exists():
        write_private(home.credentials, json.dumps({"api_key": ensure_first_key(url)}))
    schema_stamp.note(home, head_revision())


if __name__ == "__main__":
    prepare(Home(Path(sys.argv[1])), os.environ["DISTILLERY_DATABASE_URL"])
