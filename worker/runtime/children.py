"""Start child processes, one of them ahead of time so that a small job need not wait for torch to import."""

from __future__ import annotations

import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

# What a child may see of this process's environment: nothing that holds a secret.
_PASSED_ON = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "PYTHONSAFEPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
)  # fmt: skip


class Children:
    """Spawns every child from one long-lived thread: a child dies with the *thread* that started it.

    A spare that nobody took for `spare_idle_s` (0: for ever) is given up, as it is most of an idle worker's memory;
    the next child that is taken leaves a new one behind it.
    """

    def __init__(self, *, threads: int = 0, warm_spare: bool = True, spare_idle_s: float = 0.0) -> None:
        self._threads = threads or os.cpu_count() or 1
        self._warm_spare = warm_spare
        self._spare_idle_s = spare_idle_s
        self._spare_until = math.inf
        self._spare: subprocess.Popen[bytes] | None = None
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="spawner", daemon=True)
        self._thread.start()
        if warm_spare:
            self._work.put(self._refill)

    def take(self) -> subprocess.Popen[bytes]:
        """A child that waits for its brief; it leads its own process group. A new spare is started behind it."""
        answer: Future[subprocess.Popen[bytes]] = Future()
        self._work.put(lambda: self._hand_out(answer))
        return answer.result(timeout=60)

    def catalogue(self) -> list[dict[str, Any]]:
        """What the methods say of themselves: a child has imported them all, so this process need not.

        RuntimeError when a child cannot start; its own words are on standard error.
        """
        answer: Future[list[dict[str, Any]]] = Future()
        self._work.put(lambda: self._ask_spare(answer))
        return answer.result(timeout=120)

    def close(self) -> None:
        """Stop the spare and the spawner; children that were taken are their takers' business."""
        self._work.put(None)
        self._thread.join(timeout=10)
        self._give_up_spare()

    def _loop(self) -> None:
        while True:
            try:
                work = self._work.get(timeout=self._spare_left_s())
            except queue.Empty:
                self._give_up_spare()
                continue
            if work is None:
                return
            work()

    def _spare_left_s(self) -> float | None:
        if self._spare is None or math.isinf(self._spare_until):
            return None
        return max(0.0, self._spare_until - time.monotonic())

    def _give_up_spare(self) -> None:
        spare, self._spare = self._spare, None
        if spare is not None:
            kill_group(spare)

    def _hand_out(self, answer: Future[subprocess.Popen[bytes]]) -> None:
        try:
            spare, self._spare = self._spare, None
            if spare is None or spare.poll() is not None:
                spare = self._spawn()
            answer.set_result(spare)
        except OSError as error:
            answer.set_exception(error)
            return
        if self._warm_spare:
            self._refill()

    def _ask_spare(self, answer: Future[list[dict[str, Any]]]) -> None:
        self._refill()
        spare = self._spare
        assert spare is not None  # noqa: S101 - just filled
        assert spare.stdout is not None  # noqa: S101 - it is a pipe
        line = spare.stdout.readline()
        if line:
            answer.set_result(json.loads(line)["catalogue"])
        else:
            answer.set_exception(RuntimeError(f"the child process ended with code {spare.wait()} while importing"))
        if not self._warm_spare:
            self._give_up_spare()

    def _refill(self) -> None:
        if self._spare is None or self._spare.poll() is not None:
            self._spare = self._spawn("warm")
            self._spare_until = time.monotonic() + (self._spare_idle_s or math.inf)

    def _spawn(self, *how: str) -> subprocess.Popen[bytes]:
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        # Threads that spin while they wait slow each other down as soon as two jobs share a core (measured: fourfold).
        environment |= {
            "OMP_NUM_THREADS": str(self._threads),
            "MKL_NUM_THREADS": str(self._threads),
            "OMP_WAIT_POLICY": "PASSIVE",
        }
        return subprocess.Popen(
            [sys.executable, "-m", "worker.runtime.child", str(os.getpid()), *how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )


def kill_group(child: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    """Signal a child's whole process group; quiet when it is gone already."""
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return
    if number == signal.SIGKILL:
        child.wait(timeout=30)
