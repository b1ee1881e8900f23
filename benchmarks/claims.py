"""Claims per second: how fast jobs change hands in Postgres, with several claimers and none doubled.

Run: `python -m benchmarks.claims [--jobs 2000] [--claimers 4]`. A claim is one transaction of `claim_job`, fsync on.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import insert

from app.jobs.claim import claim_job
from app.store.database import open_engine
from app.store.ids import new_id
from app.store.tables import job
from benchmarks.record import write
from tests.engines import Engines
from tests.integration.jobs.conftest import fill, queue_job


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--claimers", type=int, default=4)
    given = parser.parse_args()
    engines = Engines(fsync=True)
    engines.start()
    try:
        with engines.database() as url:
            write("claims", measure(url, given.jobs, given.claimers), ("sqlalchemy", "psycopg"))
    finally:
        engines.close()


def measure(url: str, jobs: int, claimers: int) -> dict[str, object]:
    """Queue `jobs`, let every claimer try every one of them, and count who got what."""
    engine = open_engine(url, pool=claimers)
    with engine.begin() as conn:
        fill(conn)
        first = queue_job(conn)
        same = {name: value for name, value in first.items() if name not in ("id", "last_seq", "input_hash")}
        rows = [{**same, "id": new_id("job"), "last_seq": 0, "input_hash": str(number)} for number in range(jobs - 1)]
        conn.execute(insert(job), rows)
    ids = [first["id"], *(row["id"] for row in rows)]

    def claim(share: int) -> int:
        won = 0
        for job_id in ids[share::claimers]:
            with engine.begin() as conn:
                won += claim_job(conn, job_id, f"worker{share}", 30) is not None
        return won

    def race(share: int) -> int:
        won = 0
        for job_id in ids:
            with engine.begin() as conn:
                won += claim_job(conn, job_id, f"worker{share}", 30) is not None
        return won

    started = time.perf_counter()
    with ThreadPoolExecutor(claimers) as pool:
        won = sum(pool.map(claim, range(claimers)))
    seconds = time.perf_counter() - started
    with ThreadPoolExecutor(claimers) as pool:
        doubled = sum(pool.map(race, range(claimers)))
    engine.dispose()
    assert won == jobs
    return {"jobs": jobs, "claimers": claimers, "claims_per_s": round(won / seconds, 1), "doubled": doubled}


if __name__ == "__main__":
    main()
