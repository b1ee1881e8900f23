"""Our side of `benchmarks.job_layer`: a worker whose jobs do nothing, so that only the job layer is measured.

`fetch` claims and finishes what is queued, without broker; `serve` is the Celery application of `worker.main` with
one slot. Both are the worker's own supervisor; in place of a child that works, a job is committed with an empty result
at once, or held for ever with its lease renewed.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import warnings

from celery.platforms import SecurityWarning
from celery.signals import setup_logging, worker_ready
from sqlalchemy import Engine

from app.jobs.commit import Outcome, commit_result
from app.jobs.finish import AttemptEnd
from app.jobs.renew import renew_lease
from app.jobs.states import JobRow
from app.settings import Settings
from app.store.database import open_engine
from worker.main import build
from worker.runtime.children import Children
from worker.runtime.claiming import Claimer
from worker.runtime.supervise import Supervisor


class Idle(Supervisor):
    """Claims as ever and does nothing."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        super().__init__(engine, settings, Children(threads=1, warm_spare=False), str(os.getpid()))
        self.engine = engine
        self.settings = settings

    def _run(self, row: JobRow) -> None:
        while row["labels"].get("hold"):
            time.sleep(self.settings.heartbeat_s)
            with self.engine.begin() as conn:
                renew_lease(conn, row["id"], row["fence"], self.settings.lease_s)
        with self.engine.begin() as conn:
            commit_result(conn, row, Outcome(), AttemptEnd())


def fetch(supervisor: Idle) -> None:
    claimer = Claimer(supervisor.engine, supervisor.settings, str(os.getpid()))
    say("ready")
    sys.stdin.readline()
    while (row := claimer.claim(["cpu"])) is not None:
        supervisor._run(row)
    say("done")


def serve(supervisor: Idle) -> None:
    app = build(supervisor.settings, supervisor)
    setup_logging.connect(lambda **_: None, weak=False)
    worker_ready.connect(lambda **_: threading.Timer(1.0, say, ["ready"]).start(), weak=False)
    warnings.filterwarnings("ignore", category=SecurityWarning)
    name = f"--hostname=bench{os.getpid()}@%h"
    quiet = ("--loglevel=ERROR", "--without-gossip", "--without-mingle")
    app.worker_main(["--quiet", "worker", "--pool=threads", "--concurrency=1", "--queues=cpu", name, *quiet])


def say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    settings = Settings()
    idle = Idle(open_engine(settings.database_url, pool=4), settings)
    fetch(idle) if sys.argv[1] == "fetch" else serve(idle)
