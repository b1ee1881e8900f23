"""Delete blobs that nothing refers to, and staging leftovers of attempts that are over."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress

from sqlalchemy import Connection, delete, exists, select, text

from app.jobs.states import OWNED
from app.store.blobs import Blobs
from app.store.database import allow_silence
from app.store.loose_bytes import forget_gone
from app.store.staging import owner_of
from app.store.tables import artifact, blob, job
from app.store.uploads import unfinished_ids

_LOCK = 7_368_118


class Sweeper:
    """Removes unreferenced blobs older than `grace_s` (an attempt stores its blobs before it refers to them)."""

    def __init__(self, blobs: Blobs, *, grace_s: float) -> None:
        self.blobs = blobs
        self.grace_s = grace_s

    def sweep(self, conn: Connection) -> int:
        """One round under an advisory lock; returns the number of blobs deleted."""
        if not conn.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _LOCK}):
            return 0
        allow_silence(conn)
        self._sweep_staging(conn)
        oldest = time.time() - self.grace_s
        present = dict(self.blobs.iterate())
        old = [sha256 for sha256, modified in present.items() if modified < oldest]
        deleted: list[str] = []
        for start in range(0, len(old), 1000):
            batch = old[start : start + 1000]
            kept = set(conn.scalars(select(artifact.c.sha256).where(artifact.c.sha256.in_(batch))))
            for sha256 in set(batch) - kept:
                # The row goes first: a new reference to it fails rather than points at nothing.
                conn.execute(
                    delete(blob).where(blob.c.sha256 == sha256, ~exists().where(artifact.c.sha256 == blob.c.sha256))
                )
                self.blobs.delete(sha256)
                deleted.append(sha256)
        forget_gone(conn, deleted, present)
        return len(deleted)

    def _sweep_staging(self, conn: Connection) -> None:
        owned = set(conn.scalars(select(job.c.id).where(job.c.state.in_(OWNED)))) | unfinished_ids(conn)
        for path in self.blobs.staging.iterdir():
            with suppress(FileNotFoundError):  # others rename and remove here meanwhile
                if owner_of(path.name) in owned or path.stat().st_mtime > time.time() - 3600:
                    continue
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
