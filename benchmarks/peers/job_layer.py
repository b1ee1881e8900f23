"""Runs in the peer's own environment: Procrastinate's side of `benchmarks.job_layer`, as its documentation sets it up.

    python -m venv peers && peers/bin/pip install "procrastinate>=3.10,<4" "psycopg[binary]"

`schema DSN` creates the tables; `queue DSN TASK COUNT` defers jobs in one statement; `fetch DSN` fetches and finishes
jobs by the two calls its worker makes, without the worker around them; `serve DSN` is its worker, one job at a time.
`retry_stalled_jobs` is the periodic task of its page "Retry stalled jobs".
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from importlib.metadata import version
from pathlib import Path

from procrastinate import App, PsycopgConnector
from procrastinate.jobs import Status


def build(given: argparse.Namespace) -> App:
    app = App(connector=PsycopgConnector(conninfo=given.dsn, min_size=1, max_size=4))

    @app.task(name="noop")
    async def noop() -> None:
        pass

    @app.task(name="hold", pass_context=True)
    async def hold(context) -> None:
        (Path(given.held) / f"{context.job.id}.{os.getpid()}").touch()
        await asyncio.sleep(3600)

    if given.cron:

        @app.periodic(cron=given.cron)
        @app.task(name="retry_stalled_jobs", queueing_lock="retry_stalled_jobs", pass_context=True)
        async def retry_stalled_jobs(context, timestamp) -> None:
            for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=given.stalled_s):
                await app.job_manager.retry_job(job)

    return app


async def fetch(app: App) -> None:
    worker_id = await app.job_manager.register_worker()
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    while job := await app.job_manager.fetch_job(queues=None, worker_id=worker_id):
        await app.job_manager.finish_job(job=job, status=Status.SUCCEEDED, delete_job=False)
    say("done")


async def run(given: argparse.Namespace) -> None:
    app = build(given)
    async with app.open_async():
        if given.what == "schema":
            await app.schema_manager.apply_schema_async()
        elif given.what == "queue":
            await app.configure_task(given.task).batch_defer_async(*({} for _ in range(given.count)))
        elif given.what == "fetch":
            await fetch(app)
        else:
            asyncio.get_running_loop().call_later(1.0, say, "ready")
            await app.run_worker_async(
                update_heartbeat_interval=given.heartbeat_s, stalled_worker_timeout=max(30.0, given.stalled_s)
            )


def say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("schema", "queue", "fetch", "serve", "version"))
    parser.add_argument("dsn", nargs="?")
    parser.add_argument("task", nargs="?")
    parser.add_argument("count", nargs="?", type=int)
    parser.add_argument("--heartbeat-s", type=float, default=10.0)
    parser.add_argument("--stalled-s", type=float, default=30.0)
    parser.add_argument("--cron")
    parser.add_argument("--held")
    given = parser.parse_args()
    if given.what == "version":
        say(version("procrastinate"))
    else:
        logging.disable(logging.WARNING)
        asyncio.run(run(given))
