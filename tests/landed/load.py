"""What a landed revision kept, in a database at that revision and a folder of files."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from sqlalchemy import create_engine, inspect
from sqlalchemy.pool import NullPool

from app.store.migrate import config

FOLDER = Path(__file__).parent
REVISIONS = sorted(path.stem for path in FOLDER.glob("*.sql"))


@dataclass(frozen=True)
class Landed:
    """What was loaded: the admin key of its tenant, and the tables with their columns."""

    key: str
    columns: dict[str, list[str]]


def load(revision: str, url: str, superuser_url: str, blobs: Path) -> Landed:
    """Bring an empty database to a revision and put into it, and into the folder, what a service of it left."""
    dump = (FOLDER / f"{revision}.sql").read_text()
    first, _, statements = dump.partition("\n")
    with create_engine(url, poolclass=NullPool).connect() as conn:
        settings = config()
        settings.attributes["connection"] = conn
        command.upgrade(settings, revision)
        conn.commit()
        seen = inspect(conn)
        columns = {table: [one["name"] for one in seen.get_columns(table)] for table in seen.get_table_names()}
    with create_engine(superuser_url, poolclass=NullPool).connect() as conn:
        # Events are written one after the other as jobs move, which rows of a dump are not.
        conn.exec_driver_sql("SET session_replication_role = replica")
        conn.exec_driver_sql("DELETE FROM alembic_version")  # it is among the rows
        driver = conn.connection.driver_connection
        driver.execute(statements)  # pyright: ignore[reportOptionalMemberAccess] - as it is: it holds % and :
        conn.commit()
    with zipfile.ZipFile(FOLDER / f"{revision}.blobs.zip") as archive:
        archive.extractall(blobs)
    return Landed(first.rpartition(" ")[2], columns)
