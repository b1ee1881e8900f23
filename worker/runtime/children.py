"""Start child processes, from a template where there is one, so that a job need not wait for torch to import."""

from __future__ import annotations

import contextlib
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

from worker.runtime.template import Fork, Offer, Template

Child = subprocess.Popen[bytes] | Fork

# What a child may see of this process's environment: nothing that holds a secret. Ray's name the files of its TLS and
# of its token.
_PASSED_ON = (
    "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "PYTHONSAFEPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES", "RAY_USE_TLS", "RAY_TLS_SERVER_CERT", "RAY_TLS_SERVER_KEY", "RAY_TLS_CA_CERT",
    "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH",
)  # fmt: skip


class Children:
    """Starts every child, or the template they are forked from, in one long-lived thread: a child dies with the
    *thread* that started it.

    A template of which nobody took a child for `spare_idle_s` (0: for ever) is given up, as it is most of an idle
    worker's memory; the next child that is taken leaves a new one behind it.
    """

    def __init__(self, *, threads: int = 0, warm_spare: bool = True, spare_idle_s: float = 0.0) -> None:
        self._threads = threads or os.cpu_count() or 1
        self._warm_spare = warm_spare
        self._spare_idle_s = spare_idle_s or math.inf
        self._template: Template | None = None
        self._template_until = math.inf
        self._retired: list[Template] = []
        self._work: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name="spawner", daemon=True)
        self._thread.start()
        if warm_spare:
            self._work.put(self._keep_template)

    def take(self) -> Child:
        """A child that waits for its assignment, in a process group of its own; a template then waits for the next."""
        answer: Future[Child] = Future()
        self._work.put(lambda: self._hand_out(answer))
        return answer.result(timeout=60)

    def offer(self) -> Offer:
        """What this worker can do: a child has imported every method, so this process need not.

        RuntimeError when a child cannot start; its own words are on standard error.
        """
        answer: Future[Offer] = Future()
        self._work.put(lambda: self._ask_template(answer))
        return answer.result(timeout=120)

    def close(self) -> None:
        """Stop the template, its children with it, and the spawner; other children are their takers' business."""
        self._work.put(None)
        self._thread.join(timeout=10)
        for template in [*self._retired, *([self._template] if self._template else [])]:
            template.kill()

    def _loop(self) -> None:
        while True:
            try:
                work = self._work.get(timeout=self._pause_s())
            except queue.Empty:
                self._retired = [template for template in self._retired if not template.has_ended()]
                if time.monotonic() >= self._template_until:
                    self._give_up_template()
                continue
            if work is None:
                return
            work()

    def _pause_s(self) -> float | None:
        left_s = max(0.0, self._template_until - time.monotonic())
        if self._retired:
            return min(left_s, 1.0)  # until those have ended, too
        return None if math.isinf(left_s) else left_s

    def _hand_out(self, answer: Future[Child]) -> None:
        try:
            answer.set_result(self._start())
        except OSError as error:
            answer.set_exception(error)
            return
        if self._warm_spare:
            self._keep_template()

    def _start(self) -> Child:
        if self._template is not None and self._template.is_ready():
            with contextlib.suppress(OSError):  # it has died just now
                return self._template.fork()
        return self._spawn()

    def _ask_template(self, answer: Future[Offer]) -> None:
        try:
            answer.set_result(self._keep_template().offer())
        except (OSError, RuntimeError) as error:
            answer.set_exception(error)
        if self._warm_spare:
            self._keep_template()
        else:
            self._give_up_template()

    def _keep_template(self) -> Template:
        if self._template is None or self._template.has_ended():
            self._template = Template(self._command("warm"), self._environment())
        self._template_until = time.monotonic() + self._spare_idle_s
        return self._template

    def _give_up_template(self) -> None:
        template, self._template, self._template_until = self._template, None, math.inf
        if template is not None:
            template.retire()
            self._retired.append(template)

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self._command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self._environment(),
            start_new_session=True,
        )

    def _command(self, *how: str) -> list[str]:
        return [sys.executable, "-m", "worker.runtime.child", str(os.getpid()), *how]

    def _environment(self) -> dict[str, str]:
        return {
            **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            # Threads that spin while they wait slow each other down when two jobs share a core (measured: fourfold).
            "OMP_NUM_THREADS": str(self._threads),
            "MKL_NUM_THREADS": str(self._threads),
            "OMP_WAIT_POLICY": "PASSIVE",
            # Large tensors come and go, and the kernel clears their pages each time: see benchmarks/large_tensors.py.
            "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
        }


def kill_group(child: Child, number: int = signal.SIGKILL) -> None:
    """Signal a child's whole process group; quiet when it is gone already."""
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:
        return
    if number == signal.SIGKILL:
        child.wait(timeout=30)
