"""Tell the database which methods this worker can run. A child process collects them: torch stays out of here."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from sqlalchemy import Connection, func
from sqlalchemy.dialects.postgresql import insert

from app.store.tables import method

_COLLECT = "import json; from worker.runtime.catalogue import catalogue; print(json.dumps(catalogue()))"


def collect() -> list[dict[str, Any]]:
    """The rows of the `method` table, as a child process that imports every method tells them."""
    done = subprocess.run([sys.executable, "-c", _COLLECT], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def announce(conn: Connection, rows: list[dict[str, Any]]) -> None:
    """Write the catalogue; a newer version of a method replaces an older one, never the other way round."""
    for row in rows:
        statement = insert(method).values(**row)
        conn.execute(
            statement.on_conflict_do_update(
                index_elements=["kind", "name"],
                set_={**{name: statement.excluded[name] for name in row}, "announced_at": func.now()},
                where=method.c.version <= statement.excluded.version,
            )
        )
