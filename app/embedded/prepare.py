"""Makes the roles of the database, migrates it and makes the first API key: `python -m app.embedded.prepare HOME`.

A process of its own, so that the supervisor, which stays, never loads SQLAlchemy.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from app.embedded import schema_stamp
from app.embedded.home import Home, write_private
from app.store.api_keys import ensure_first_key
from app.store.migrate import head_revision, upgrade
from app.store.roles import RoleSettings, ensure


def prepare(home: Home, given: RoleSettings) -> None:
    """Make the roles, migrate as the owner, and write an admin key to `run/credentials` when there is none."""
    ensure(given.superuser_url, given.owner_url, given.database_url)
    upgrade(given.owner_url)
    if not home.credentials.exists():
        write_private(home.credentials, json.dumps({"api_key": ensure_first_key(given.database_url)}))
    schema_stamp.note(home, head_revision())


if __name__ == "__main__":
    prepare(Home(Path(sys.argv[1])), RoleSettings())  # pyright: ignore[reportCallIssue] - filled from the environment
