"""What is done to a running service: kill its parts, hold them still, take away what Redis had."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import psutil
import redis

from tests.service import Service


def kill(pid: int) -> float:
    """SIGKILL; returns the moment."""
    assert pid > 1, "a part that is down has no process"
    os.kill(pid, signal.SIGKILL)
    return time.time()


def kill_part(service: Service, part: str) -> float:
    """SIGKILL one part, which its supervisor will start again; returns the moment."""
    return kill(Service.wait(lambda: service.pid(part), 30, f"{part} to be there"))


def busy_child(service: Service) -> psutil.Process:
    """The child at work: forked from the template, or started before there was one."""
    children = service.children()
    forks = [process for process in children if process.ppid() != service.pid("worker")]
    return min(forks or children, key=lambda process: process.create_time())


def kill_worker_tree(service: Service) -> float:
    """SIGKILL the worker and everything below it; returns the moment."""
    worker = psutil.Process(service.pid("worker"))
    tree = [worker, *worker.children(recursive=True)]
    for process in tree:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return time.time()


@contextmanager
def held(pid: int) -> Iterator[None]:
    """A process that is stopped (SIGSTOP) for the length of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextmanager
def away(service: Service, part: str) -> Iterator[None]:
    """A part killed and, because its supervisor is held, not started again until the block ends."""
    with held(service.state()["pid"]):
        kill_part(service, part)
        yield


def empty_redis_files(service: Service) -> None:
    """Remove what a Redis that is away would read when it starts."""
    for pattern in ("*.aof", "*.rdb", "*.manifest"):
        for file in (service.home / "redis").rglob(pattern):
            file.unlink(missing_ok=True)


def redis_client(service: Service) -> redis.Redis:
    """A client of the service's own Redis."""
    url = psutil.Process(service.pid("dispatcher")).environ()["DISTILLERY_BROKER_URL"]
    return redis.Redis.from_url(url.replace("redis+socket://", "unix://"))


def asked(call: Callable[[], httpx.Response]) -> httpx.Response | None:
    """The answer, or None while there is no API that could give one."""
    try:
        return call()
    except (httpx.TransportError, FileNotFoundError, KeyError):
        return None


def posted(service: Service, body: dict[str, Any], *, seconds: float = 30, **headers: str) -> dict[str, Any]:
    """A job that was posted, again and again until it was accepted: the same key makes it one job."""
    headers = {
        "Idempotency-Key": os.urandom(12).hex(),
        **{name.replace("_", "-"): one for name, one in headers.items()},
    }

    def accepted() -> dict[str, Any] | None:
        with suppress(FileNotFoundError, KeyError), service.http as http:
            answer = asked(lambda: http.post("/v1/jobs", json=body, headers=headers))
            if answer is not None and answer.status_code < 300:
                return answer.json()
        return None

    return Service.wait(accepted, seconds, "the job to be accepted")
