"""The parts of an embedded installation: what is started, after what, and how it is known to be ready."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from app.embedded import schema_stamp
from app.embedded.accounts import Account
from app.embedded.errors import EmbeddedError
from app.embedded.home import Home, Secrets
from app.embedded.postgres import APPLICATION, SUPERUSER, Postgres
from app.embedded.redis import Redis

_ROOT = Path(__file__).resolve().parents[2]
_REDIS_TRIES = 3
_PROBE_S = 0.25  # the socket takes connections before the API does: asking waits, and with it the whole supervisor


def at_once(pid: int) -> bool:
    """The readiness of a part that has none to wait for."""
    return True


@dataclass(frozen=True)
class Part:
    """One process to keep running, or (`once`) one command to be run successfully before others start.

    A `once` part that is found `needless` when its turn comes counts as done.

    `argv` starts with an absolute path; `ready` is asked now and then with the process id and must answer
    within a second or two; a part is started when all in `after` are ready; `repair` is called before a
    restart with the number of failures in a row; `death_signal` is what the part gets when the supervisor is
    killed; `listener` is inherited by the process, stays open when that ends, and is closed when the part is stopped.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    ready: Callable[[int], bool] = at_once
    after: tuple[str, ...] = ()
    once: bool = False
    needless: Callable[[], bool] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    grace_s: float = 10.0
    account: Account | None = None
    repair: Callable[[int], None] | None = None
    listener: socket.socket | None = None


def engine_parts(postgres: Postgres, redis: Redis) -> list[Part]:
    """Postgres and Redis as parts; the cluster must have been initialised."""

    def repair_redis(failures: int) -> None:
        # Redis holds only hints, so a file that it cannot load is worth less than a Redis that runs.
        if failures == _REDIS_TRIES:
            redis.set_aside_contents()

    return [
        Part(
            "postgres",
            tuple(postgres.command()),
            postgres.env,
            ready=lambda pid: postgres.accepts(),
            stop_signal=postgres.stop_signal,
            death_signal=postgres.stop_signal,
            grace_s=20.0,
            account=postgres.account,
        ),
        Part(
            "redis",
            tuple(redis.command()),
            redis.env,
            ready=lambda pid: redis.answers(),
            death_signal=redis.stop_signal,
            repair=repair_redis,
        ),
    ]


def service_parts(
    home: Home, env: Mapping[str, str], postgres: Postgres, url: str, listener: socket.socket, workers: int
) -> list[Part]:
    """Migration, dispatcher, workers and API, in the order in which they are stopped backwards."""
    prepare = Part(
        "prepare",
        _python("app.embedded.prepare", str(home.path)),
        {
            **env,
            "DISTILLERY_OWNER_URL": postgres.url(),
            "DISTILLERY_SUPERUSER_URL": postgres.url(role=SUPERUSER),
        },
        after=("postgres",),
        once=True,
        needless=lambda: schema_stamp.still_holds(home, postgres),
    )
    after = ("postgres", "redis", "prepare")
    names = ["worker"] if workers == 1 else [f"worker-{number + 1}" for number in range(workers)]
    since = time.time()
    return [
        prepare,
        Part("dispatcher", _python("app.jobs.dispatch"), env, after=after),
        *(
            Part(
                name,
                _python("worker.main"),
                env,
                ready=lambda pid: _announced(postgres, pid, since),
                after=after,
                grace_s=30.0,  # a worker gives its children 25 s for a last checkpoint
            )
            for name in names
        ),
        Part(
            "api",
            _python("app.main"),
            {**env, "DISTILLERY_LISTEN_FD": str(listener.fileno())},
            ready=lambda pid: answers(f"{url}/healthz", _PROBE_S),
            after=after,
            grace_s=25.0,
            listener=listener,
        ),
    ]


def service_env(home: Home, secrets: Secrets, postgres: Postgres, redis: Redis, host: str, port: int) -> dict[str, str]:
    """The environment of our own parts: the caller's, and where everything lies."""
    # Our own modules, wherever we were started: a folder `app` or `worker` of the user must not shadow them.
    path = os.pathsep.join(word for word in (str(_ROOT), os.environ.get("PYTHONPATH", "")) if word)
    return dict(os.environ) | {
        "PYTHONPATH": path,
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "DISTILLERY_HOME": str(home.path),
        "DISTILLERY_DATABASE_URL": postgres.url(role=APPLICATION),
        "DISTILLERY_BROKER_URL": redis.broker_url,
        "DISTILLERY_BLOB_DIR": str(home.blobs),
        "DISTILLERY_STAGING_DIR": str(home.staging),
        "DISTILLERY_HOST": host,
        "DISTILLERY_PORT": str(port),
        "DISTILLERY_SECRET": secrets.signing,
        # All workers are on this machine: a job goes to the queue of the GPUs only where they announce one.
        "DISTILLERY_QUEUES": os.environ.get("DISTILLERY_QUEUES", "cpu,io,gpu"),
    }


def answers(url: str, patience_s: float = 1.0) -> bool:
    """Whether a GET of an http address is answered with 200 in that time."""
    where = urlsplit(url)
    line = http.client.HTTPConnection(where.hostname or "", where.port, timeout=patience_s)
    try:
        line.request("GET", where.path)
        return line.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        line.close()


def _announced(postgres: Postgres, pid: int, since: float) -> bool:
    """Whether the worker with this process id has registered itself in this run and methods are on offer."""
    sql = (
        "SELECT EXISTS (SELECT FROM worker WHERE stopped_at IS NULL AND "  # noqa: S608 - two numbers go in
        f"pid = {pid:d} AND last_seen >= to_timestamp({since:f})) AND EXISTS (SELECT FROM method)"
    )
    try:
        return postgres.scalar(sql) == "t"
    except EmbeddedError:
        return False


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)
