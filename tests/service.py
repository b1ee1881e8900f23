"""A whole running service for tests: the same command a user gives, in a home of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

import httpx
import psutil

from distillery import Client


class Service:
    """An embedded installation started with extra `DISTILLERY_*` settings; a context manager. `code`: the checkout that
    it runs, when that is not this one.

    What is in `before_stop` is called with every service that is left without an error, while it still runs.
    """

    running: ClassVar[list[Service]] = []
    before_stop: ClassVar[list[Callable[[Service], None]]] = []

    def __init__(self, *, code: Path | None = None, **settings: object) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="distillery-service-"))
        if os.geteuid() == 0:
            self.home.chmod(0o711)  # as root Postgres runs as another account, which must pass through
        self._environment = {
            **os.environ,
            **{f"DISTILLERY_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self._code = code
        if code is not None:
            self._environment["PYTHONPATH"] = os.pathsep.join([str(code), os.environ.get("PYTHONPATH", "")])
        self._supervisor: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Service:
        command = [sys.executable, "-m", "app.embedded.supervisor", "--home", str(self.home), "--port", "0"]
        self._supervisor = subprocess.Popen(command, cwd=self._code, env=self._environment, stderr=subprocess.DEVNULL)
        try:
            self.wait(lambda: self.state().get("state") == "ready", 90, "the service to be ready")
        except BaseException:
            self._stop()
            raise
        self.running.append(self)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.running.remove(self)
        try:
            for look in self.before_stop if kind is None and self.state().get("state") == "ready" else ():
                look(self)
        finally:
            self._stop()

    def _stop(self) -> None:
        assert self._supervisor is not None
        self._supervisor.send_signal(signal.SIGTERM)
        try:
            self._supervisor.wait(60)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()
            self._supervisor.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def client(self) -> Client:
        """A client with the first key."""
        key = json.loads((self.home / "run" / "credentials").read_text())["api_key"]
        return Client(self.state()["url"], key)

    @property
    def http(self) -> httpx.Client:
        """A bare HTTP client with the first key."""
        key = json.loads((self.home / "run" / "credentials").read_text())["api_key"]
        return httpx.Client(base_url=self.state()["url"], headers={"Authorization": f"Bearer {key}"}, timeout=30)

    def state(self) -> dict[str, Any]:
        """What the home says about itself; empty when nothing runs."""
        try:
            return json.loads((self.home / "run" / "state.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}

    def pid(self, part: str) -> int:
        """The process of a part: postgres, redis, dispatcher, worker or api."""
        return self.state()["parts"][part]["pid"]

    def children(self) -> list[psutil.Process]:
        """The worker's child processes: those at work, and the template they are forked from."""
        found = []
        for process in psutil.Process(self.pid("worker")).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it may end while it is looked at
                if "worker.runtime.child" in process.cmdline():
                    found.append(process)
        return found

    def logs(self, part: str) -> str:
        """What a part has said."""
        return (self.home / "logs" / f"{part}.log").read_text(errors="replace")

    @staticmethod
    def wait(condition: Any, seconds: float, what: str, *, every_s: float = 0.05) -> Any:
        """Poll until the condition holds and return its value; AssertionError after `seconds`."""
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            if value := condition():
                return value
            time.sleep(every_s)
        raise AssertionError(f"waited {seconds} s for {what}")
