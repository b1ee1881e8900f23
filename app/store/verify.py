"""Reads every file that the database names and compares it with its hash: `python -m app.store.verify`.

For a restored backup, or a store that one does not trust. It changes nothing, and may run beside the service.
"""

from __future__ import annotations

import sys
import time

import structlog
from sqlalchemy import Connection, create_engine, select

from app.settings import Settings
from app.store.blobs import Blobs, CorruptBlob, read_verified
from app.store.open_blobs import open_blobs
from app.store.tables import artifact


def wrong_files(conn: Connection, blobs: Blobs) -> tuple[dict[str, str], int, int]:
    """Files that are not as they should be, as hash and what is wrong; how many were read, and bytes of them all."""
    wrong: dict[str, str] = {}
    files = read = 0
    for sha256, size in conn.execute(select(artifact.c.sha256, artifact.c.size).distinct()):
        files += 1
        try:
            length = sum(len(piece) for piece in read_verified(blobs, sha256))
        except (FileNotFoundError, CorruptBlob) as error:
            wrong[sha256] = type(error).__name__
            continue
        read += length
        if length != size:
            wrong[sha256] = f"{length} bytes instead of {size}"
    return wrong, files, read


def main() -> None:
    """Say what was found; the exit code is 1 when a file is wrong."""
    from app import logs  # only here: others who verify log in their own way

    settings = Settings()  # pyright: ignore[reportCallIssue] - filled from the environment
    logs.configure("verify", settings)
    log, begun = structlog.get_logger(), time.monotonic()
    with create_engine(settings.database_url).connect() as conn:
        wrong, files, read = wrong_files(conn, open_blobs(settings))
    for sha256, what in wrong.items():
        log.error("wrong_file", sha256=sha256, what=what)
    log.info("verified", files=files, bytes=read, wrong=len(wrong), seconds=round(time.monotonic() - begun, 1))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
