"""The process that runs one attempt: `python -m worker.runtime.child PARENT_PID [warm]`.

A warm one imports every method and torch, says so, and is from then on the template whose forks run the attempts.
One that is started for an assignment imports only what its job needs. Untrusted bytes and the method's memory stay in
here; the parent sees messages on standard output and files on disk.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worker.runtime import limits
from worker.runtime.pages import release_untouched
from worker.runtime.template import serve_forks

if TYPE_CHECKING:
    from worker.runtime.protocol import Assignment, Speaker


def main() -> None:
    """Serve one assignment and exit: 0 when an answer was given, whatever it was."""
    limits.tether(int(sys.argv[1]))
    if "warm" in sys.argv:
        _claim_stdout().say("ready", offer=_warm_up())
        release_untouched()
        if not serve_forks():
            return
    speaker = _claim_stdout()
    line = sys.stdin.buffer.readline()
    if line:
        _serve(line, speaker)
    sys.stderr.flush()
    os._exit(0)  # everything is said and on disk; tearing torch down takes a second that nobody needs to wait


def _claim_stdout() -> Speaker:
    """Keep the pipe for messages; whatever a library prints goes to standard error."""
    from worker.runtime.protocol import Speaker

    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return Speaker(pipe)


def _warm_up() -> dict[str, Any]:
    """Import every method, but leave CUDA to the job that comes; returns the fields of an `Offer`."""
    import importlib

    from worker.runtime.catalogue import catalogue
    from worker.runtime.registry import unavailable

    importlib.import_module("torch")
    return {"methods": catalogue(), "unavailable": unavailable(), "devices": _devices()}


def _devices() -> list[str]:
    """The devices that torch finds. A fork asks: who has asked CUDA cannot be forked into children that use it."""
    template = os.getpid()
    answer, say = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            limits.tether(template)
            os.write(say, b"cuda" if sys.modules["torch"].cuda.is_available() else b"")
        finally:
            os._exit(0)
    os.close(say)
    with os.fdopen(answer) as said:
        found = said.read()
    os.waitpid(pid, 0)
    return ["cpu", *found.split()]


def _serve(line: bytes, speaker: Speaker) -> None:
    import resource
    import signal
    import time
    import traceback

    from worker.contract.errors import Cancelled
    from worker.runtime.attempt import run_attempt
    from worker.runtime.child_context import ChildContext
    from worker.runtime.protocol import Assignment

    def cost() -> dict[str, float]:
        used, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "cpu_s": round(used.ru_utime + used.ru_stime + others.ru_utime + others.ru_stime, 3),
            "peak_rss_mb": round(used.ru_maxrss / 1000, 1),
            **(_cuda_cost(time.monotonic() - held_since) if held_since else {"gpu_s": 0.0}),
        }

    held_since = 0.0
    try:
        assignment = Assignment.from_line(line)
        device = _prepare(assignment)
        if device == "cuda":
            held_since = time.monotonic()
        speaker.say("device", device=device)
        ctx = ChildContext(assignment, speaker, device)
        signal.signal(signal.SIGTERM, lambda *_: ctx.stop())
        try:
            answer = run_attempt(assignment, ctx)
        finally:
            ctx.executor.close()
        speaker.say("done", **answer, cost=cost())
    except Cancelled:
        speaker.say("stopped", cost=cost())
    except BaseException as error:
        reason = limits.as_job_error(error)
        if reason.code == "internal":
            speaker.say("log", text=traceback.format_exc())
        speaker.say(
            "error",
            code=reason.code,
            detail=reason.detail,
            hint=reason.hint,
            pointer=reason.pointer,
            cost=cost(),
        )


def _prepare(assignment: Assignment) -> str:
    """Import the job's kind; set threads, device and limits for this assignment; returns the torch device."""
    import tempfile

    from worker.runtime.registry import discover, load_kind

    # What a method lays aside goes when the attempt goes, and lies where processes on other machines see it.
    aside = Path(assignment.folder) / "aside"
    aside.mkdir(exist_ok=True)
    tempfile.tempdir = str(aside)
    method = discover().get((assignment.job["kind"], assignment.job["method"]))
    load_kind(assignment.job["kind"])
    device = "cpu"
    if (torch := sys.modules.get("torch")) is not None:  # without it nothing here has a use for it
        torch.set_num_interop_threads(1)
        if assignment.threads:
            torch.set_num_threads(assignment.threads)
        if assignment.job["deterministic"]:
            torch.use_deterministic_algorithms(True)
        if method is not None and method.device != "cpu" and assignment.device != "cpu" and torch.cuda.is_available():
            device = "cuda"
    limits.apply(assignment.memory_mb, cuda=device == "cuda")
    return device


def _cuda_cost(held_s: float) -> dict[str, float]:
    peak = sys.modules["torch"].cuda.max_memory_allocated()
    return {"gpu_s": round(held_s, 3), "peak_cuda_mb": round(peak / 1e6, 1)}


if __name__ == "__main__":
    main()
