"""Runs a whole installation in one folder: `python -m app.embedded.supervisor [--home DIR] [--port N]`.

Everything is started from the main thread, because the kernel ties a child's life to the starting thread.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from logging.handlers import RotatingFileHandler
from pathlib import Path

from app.embedded import logs, ports
from app.embedded.errors import EmbeddedError
from app.embedded.home import Home, Lock, PartState, RunState, Secrets, default_home
from app.embedded.parts import Part, engine_parts, service_env, service_parts
from app.embedded.postgres import Postgres
from app.embedded.processes import clear_leftovers, spawn, started_ticks
from app.embedded.redis import Redis
from app.embedded.wakeup import Wakeup

_log = logging.getLogger("distillery.supervisor")

_BACKOFF_S = (0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 5.0)
_STEADY_S = 10.0  # a part that was up for this long starts over with the shortest backoff
_PROBE_S = (0.03, 0.5)  # readiness is asked often at first, then less
_HOUSEKEEPING_S = 5.0
_ONCE_TRIES = 3
_HURRY_S = 1.0
_HANDOVER_S = 60.0
_AFTER_TROUBLE_S = 1.0


@dataclass
class _Runner:
    """A part and what became of it."""

    part: Part
    shown: PartState
    process: subprocess.Popen[bytes] | None = None
    failures: int = 0
    ready_since: float = 0.0
    next_start: float = 0.0
    next_probe: float = 0.0
    probe_every: float = field(default=_PROBE_S[0])


class Supervisor:
    """Starts parts in order, keeps them running, and stops them in reverse."""

    def __init__(self, home: Home, url: str, wakeup: Wakeup) -> None:
        self._home = home
        self._wakeup = wakeup
        self._runners: list[_Runner] = []
        self._state = RunState("starting", url, os.getpid(), started_ticks(os.getpid()) or 0, time.time())
        self._written = ""
        self._next_housekeeping = 0.0

    def announce(self) -> None:
        """Say in the home's state file that we are starting, before anything slow is done."""
        self._publish()

    def run(self, parts: Sequence[Part]) -> None:
        """Run the parts until a stop is asked for; raises EmbeddedError when a `once` part keeps failing."""
        self._runners = [_Runner(part, PartState()) for part in parts]
        self._state.parts = {runner.part.name: runner.shown for runner in self._runners}
        try:
            while not self._wakeup.stop_requests:
                self._wakeup.wait(self._round())
        finally:
            self._stop()

    def _round(self) -> float:
        """Look after all parts once; the seconds until the next round is due.

        Whatever goes wrong here, the parts run on, and the next round may find a disk with room again.
        """
        try:
            self._collect()
            self._probe()
            self._launch()
            self._note_ready()
            self._publish()
            self._housekeep()
        except EmbeddedError:
            raise
        except Exception:
            _log.exception("a round was broken off")
            return _AFTER_TROUBLE_S
        return self._idle_s()

    # --- the four steps of a round ---

    def _collect(self) -> None:
        """Take note of processes that ended."""
        for runner in self._runners:
            if runner.process is not None and runner.process.poll() is not None:
                self._ended(runner, runner.process.returncode)

    def _launch(self) -> None:
        """Start what is not running, whose time has come and whose predecessors are ready."""
        now = time.monotonic()
        usable = {r.part.name for r in self._runners if r.shown.state in ("ready", "done")}
        for runner in self._runners:  # in order, so that what is found needless lets the next ones start at once
            waiting = runner.process is None and runner.shown.state in ("waiting", "restarting")
            if not waiting or now < runner.next_start or not usable.issuperset(runner.part.after):
                continue
            if runner.part.once and runner.part.needless is not None and runner.part.needless():
                runner.shown.state = "done"
                usable.add(runner.part.name)
                _log.info("%s has nothing to do", runner.part.name)
            else:
                self._start(runner)

    def _probe(self) -> None:
        """Ask parts that are starting whether they are ready."""
        now = time.monotonic()
        for runner in self._runners:
            if runner.shown.state != "starting" or runner.part.once or now < runner.next_probe:
                continue
            if runner.part.ready(runner.shown.pid):
                runner.shown.state = "ready"
                runner.ready_since = time.monotonic()
                _log.info("%s is ready (pid %d)", runner.part.name, runner.shown.pid)
            runner.probe_every = min(runner.probe_every * 1.2, _PROBE_S[1])
            runner.next_probe = time.monotonic() + runner.probe_every

    def _note_ready(self) -> None:
        complete = all(r.shown.state in ("ready", "done") for r in self._runners)
        if complete and self._state.state == "starting":
            self._state.state = "ready"
            self._state.ready_at = time.time()
            _log.info("ready at %s after %.1f s", self._state.url, self._state.ready_at - self._state.started_at)

    # --- one part ---

    def _start(self, runner: _Runner) -> None:
        part = runner.part
        if part.repair and runner.failures:
            part.repair(runner.failures)
        try:
            with logs.open_log(self._log_path(part)) as log:
                runner.process = spawn(
                    part.argv,
                    log=log,
                    env=part.env,
                    account=part.account,
                    death_signal=part.death_signal,
                    cwd=self._home.path,
                    keep=(part.listener.fileno(),) if part.listener else (),
                )
        except OSError as error:  # no room for its log, or for a process
            self._postpone(runner, f"cannot be started ({error.strerror})")
            return
        runner.shown.state = "starting"
        runner.shown.pid = runner.process.pid
        runner.shown.pid_ticks = started_ticks(runner.process.pid) or 0
        runner.probe_every = _PROBE_S[0]
        runner.next_probe = time.monotonic() + runner.probe_every

    def _ended(self, runner: _Runner, code: int) -> None:
        runner.process = None
        _kill_group(runner.shown.pid)
        was_steady = runner.shown.state == "ready" and time.monotonic() - runner.ready_since >= _STEADY_S
        runner.shown.pid, runner.shown.pid_ticks, runner.shown.last_exit = 0, 0, code
        if runner.part.once and code == 0:
            runner.shown.state = "done"
            return
        runner.failures = 0 if was_steady else runner.failures
        runner.shown.restarts += 1
        self._postpone(runner, f"ended with {_said(code)}")
        if runner.part.once and runner.failures >= _ONCE_TRIES:
            said = logs.tail(self._log_path(runner.part))
            raise EmbeddedError(f"{runner.part.name} failed {runner.failures} times, the last time with: {said}")

    def _postpone(self, runner: _Runner, why: str) -> None:
        delay = _BACKOFF_S[min(runner.failures, len(_BACKOFF_S) - 1)]
        runner.failures += 1
        runner.shown.state = "restarting"
        runner.next_start = time.monotonic() + delay
        _log.warning("%s %s; again in %.1f s", runner.part.name, why, delay)

    # --- stopping ---

    def _stop(self) -> None:
        """Stop everything, last started first; a second request to stop shortens all patience."""
        self._state.state = "stopping"
        self._publish()
        for runner in self._runners:
            if runner.part.listener is not None:
                runner.part.listener.close()  # who connects from now on is refused rather than left waiting
        asked = max(1, self._wakeup.stop_requests)
        for runner in reversed(self._runners):
            if runner.process is not None:
                self._stop_part(runner, runner.process, asked)

    def _stop_part(self, runner: _Runner, process: subprocess.Popen[bytes], asked: int) -> None:
        process.send_signal(runner.part.stop_signal)
        began = time.monotonic()
        while process.poll() is None:
            patience = runner.part.grace_s if self._wakeup.stop_requests <= asked else _HURRY_S
            if time.monotonic() - began >= patience:
                _log.warning("%s did not stop in time and is killed", runner.part.name)
                process.kill()
                process.wait()
            self._wakeup.wait(0.2)
        _kill_group(process.pid)
        runner.shown.state = "stopped"
        self._publish()
        _log.info("%s stopped", runner.part.name)

    # --- the rest ---

    def _idle_s(self) -> float:
        now = time.monotonic()
        moments = [self._next_housekeeping]
        for runner in self._runners:
            if runner.shown.state == "starting" and not runner.part.once:
                moments.append(runner.next_probe)
            elif runner.shown.state == "restarting" and runner.next_start > now:
                moments.append(runner.next_start)  # one in the past waits for a predecessor, not for a time
        return max(0.0, min(moments) - now)

    def _housekeep(self) -> None:
        if time.monotonic() < self._next_housekeeping:
            return
        self._next_housekeeping = time.monotonic() + _HOUSEKEEPING_S
        for runner in self._runners:
            logs.cap(self._log_path(runner.part))

    def _publish(self) -> None:
        now = repr(self._state)
        if now == self._written:
            return
        try:
            self._home.write_state(self._state)
        except OSError as error:  # a full disk: what the file says is old until it can be written again
            _log.warning("%s cannot be written (%s)", self._home.state_file, error.strerror)
        else:
            self._written = now

    def _log_path(self, part: Part) -> Path:
        return self._home.logs / f"{part.name}.log"


ServiceParts = Callable[[Home, Mapping[str, str], Postgres, str, socket.socket, int], list[Part]]


def main(arguments: Sequence[str] | None = None, service: ServiceParts = service_parts) -> int:
    """Run a home until SIGTERM or SIGINT; 0 when it ended well or runs already, 1 after a clear sentence.

    `service` lists what runs besides the engines.
    """
    parser = argparse.ArgumentParser(prog="python -m app.embedded.supervisor", description="Run a home.")
    parser.add_argument("--home", type=Path, help="its folder; default: $DISTILLERY_HOME or the user's data folder")
    parser.add_argument("--port", type=int, help=f"default: {ports.DEFAULT_PORT} or the next free one; 0: any free")
    parser.add_argument("--host", default="127.0.0.1", help="address the API listens on")
    parser.add_argument("--workers", type=int, default=1, help="number of worker processes")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    home = Home(chosen.home or default_home())
    try:
        home.create()
        _log_into(home.logs / "supervisor.log")
        with Wakeup() as wakeup:
            return _supervise(home, wakeup, chosen, service)
    except EmbeddedError as error:
        _log.error("%s", error)
        return 1
    except Exception:
        _log.exception("the service ends")
        return 1


def _supervise(home: Home, wakeup: Wakeup, chosen: argparse.Namespace, service: ServiceParts) -> int:
    lock = _lock(home, wakeup)
    if lock is None:
        return 0
    try:
        left = home.read_state()
        if left is not None:  # killed, not stopped: its parts are ending by themselves
            clear_leftovers(left.processes())
        listener = ports.listen(chosen.host, chosen.port)
        port = ports.port_of(listener)
        url = ports.browsable(chosen.host, port)
        supervisor = Supervisor(home, url, wakeup)
        supervisor.announce()
        secrets = home.secrets()
        postgres, redis = _engines(home, secrets)
        env = service_env(home, secrets, postgres, redis, chosen.host, port)
        supervisor.run([*engine_parts(postgres, redis), *service(home, env, postgres, url, listener, chosen.workers)])
        return 0
    finally:
        home.clear_state()
        lock.release()


def _lock(home: Home, wakeup: Wakeup) -> Lock | None:
    """The right to run the home; waits for one that is stopping, and reports one that runs."""
    deadline = time.monotonic() + _HANDOVER_S
    while (lock := home.lock()) is None:
        state = home.read_state()
        if state is not None and state.state != "stopping":
            _log.info("already running at %s (pid %d)", state.url, state.pid)
            return None
        if wakeup.stop_requests or time.monotonic() > deadline:
            raise EmbeddedError(f"another process holds {home.path} and does not say what it does there.")
        wakeup.wait(0.1)
    return lock


def _engines(home: Home, secrets: Secrets) -> tuple[Postgres, Redis]:
    postgres = Postgres(
        home.postgres,
        password=secrets.postgres,
        superuser_password=secrets.postgres_superuser,
        application_password=secrets.postgres_application,
        copies=home.engines,
    )
    if postgres.initialise():
        home.credentials.unlink(missing_ok=True)  # a key for a database that is gone
    elif secrets.fresh:
        postgres.reset_passwords()
    return postgres, Redis(home.redis)


def _log_into(path: Path) -> None:
    handler = RotatingFileHandler(path, maxBytes=logs.CAP_BYTES, backupCount=1, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    _log.addHandler(handler)


def _kill_group(pid: int) -> None:
    """Kill what a part left in its process group; backends of Postgres are in groups of their own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _said(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


if __name__ == "__main__":
    sys.exit(main())
