"""A process that has imported everything, and whose forks are the children.

Imports take seconds, a fork milliseconds; memory that neither changes is shared. Each fork is a process and a session
of its own, as a child that was started is. The template never sees an assignment, starts no thread of its own and never
touches CUDA, so that a fork begins as a fresh process would. Forks die with their template, and it with its worker.

The worker asks over a socket, the template's standard input, by sending the three ends of a child's pipes: standard
input, standard output, status. The child writes `pid N` to its status, and when it has ended the template `exit N`.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import threading
from dataclasses import dataclass, field
from typing import IO, Any

from worker.runtime import limits

_ASK = b"+"


@dataclass(frozen=True)
class Offer:
    """What a worker can do, as its template found it.

    `methods`: rows of the `method` table. `unavailable`: kinds that lack a package, and which. `devices`: of torch.
    """

    methods: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    unavailable: dict[str, str] = field(default_factory=dict[str, str])
    devices: list[str] = field(default_factory=list[str])


class Fork:
    """A child of the template, for the worker: what it uses of `Popen`."""

    def __init__(self, stdin: IO[bytes], stdout: IO[bytes], status: IO[bytes]) -> None:
        self.stdin: IO[bytes] | None = stdin
        self.stdout: IO[bytes] | None = stdout
        self.returncode: int | None = None
        self._status = status
        self._lock = threading.Lock()
        word, _, number = status.readline().partition(b" ")
        if word != b"pid":
            raise OSError("a child could not be forked")
        self.pid = int(number)

    def poll(self) -> int | None:
        """Its exit code as `Popen` has it; None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; returns its exit code. TimeoutExpired when it still runs."""
        with self._lock:
            if self.returncode is None:
                if not select.select([self._status], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired("child", timeout or 0.0)
                _, _, number = self._status.readline().partition(b" ")
                self._status.close()
                self.returncode = int(number or -signal.SIGKILL)  # silence: it was killed with its template
            return self.returncode


class Template:
    """The worker's end. Start it from a thread that lives on; it dies with that thread."""

    def __init__(self, argv: list[str], environment: dict[str, str]) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                argv, stdin=theirs.fileno(), stdout=subprocess.PIPE, env=environment, start_new_session=True
            )
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        self._said = self._process.stdout
        self._offer: Offer | None = None

    def offer(self) -> Offer:
        """What it has imported, once it has. RuntimeError when it ended before; its words are on standard error."""
        if self._offer is None:
            if not (line := self._said.readline()):
                raise RuntimeError(f"the child process ended with code {self._process.wait()} while importing")
            self._offer = Offer(**json.loads(line)["offer"])
        return self._offer

    def is_ready(self) -> bool:
        """Whether it can fork now."""
        if self.has_ended():
            return False
        return bool(self._offer or select.select([self._said], [], [], 0)[0])

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def fork(self) -> Fork:
        """A child that waits for its assignment. OSError when there is none to be had."""
        self.offer()
        (assignment, stdin), (stdout, messages), (status, ended) = os.pipe(), os.pipe(), os.pipe()
        ours = os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb"), os.fdopen(status, "rb")
        try:
            socket.send_fds(self._control, [_ASK], [assignment, messages, ended])
        finally:
            for end in (assignment, messages, ended):
                os.close(end)
        return Fork(*ours)

    def retire(self) -> None:
        """Let it end as soon as its last fork has; at once when nobody heard its offer, as it has no fork then.

        The offer is longer than a pipe holds, so that one nobody listens to would wait to be heard for ever.
        """
        self._control.close()
        if self._offer is None:
            self._process.kill()

    def kill(self) -> None:
        """End it, and its forks with it."""
        self._control.close()
        self._process.kill()
        self._process.wait(timeout=30)


def serve_forks() -> bool:
    """Fork whenever asked. Returns True in each fork, its pipes in place, and False in the template at its end."""
    control = socket.socket(fileno=os.dup(0))
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    template = os.getpid()
    gc.collect()
    gc.freeze()  # the collector would write to, and so copy, every page that is shared
    statuses: dict[int, int] = {}
    listening = True
    while listening or statuses:
        ready = select.select([woken, *([control] if listening else [])], [], [])[0]
        if woken in ready:
            os.read(woken, 4096)
            _report_ended(statuses)
        if control not in ready:
            continue
        asked, ends, _, _ = socket.recv_fds(control, 1, 3)
        if not asked:
            listening = False
            continue
        with contextlib.suppress(OSError):  # no room for another process: its pipes close, and the worker sees it
            if (pid := os.fork()) == 0:
                control.close()
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _become_child(template, ends, [woken, wake, *statuses.values()])
                return True
            statuses[pid] = ends.pop()
        for end in ends:
            os.close(end)
    return False


def _become_child(template: int, ends: list[int], others: list[int]) -> None:
    os.setsid()
    limits.tether(template)
    stdin, stdout, status = ends
    os.dup2(stdin, 0)
    os.dup2(stdout, 1)
    os.write(status, b"pid %d\n" % os.getpid())
    for end in (*ends, *others):
        os.close(end)


def _report_ended(statuses: dict[int, int]) -> None:
    """Pass on how each fork that has ended did so."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            with contextlib.suppress(BrokenPipeError):
                os.write(statuses[pid], b"exit %d\n" % os.waitstatus_to_exitcode(status))
            os.close(statuses.pop(pid))
