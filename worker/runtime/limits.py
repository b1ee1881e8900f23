"""What a child may use, and how to tell from its end that it wanted more."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
from pathlib import Path

from worker.contract.errors import JobError

_PR_SET_PDEATHSIG = 1
OUT_OF_MEMORY_HINT = (
    "Give the job more memory (limits.memory_mb), or ask for less: a smaller budget, fewer items, or smaller batches."
)


def tether(parent: int) -> None:
    """Die with the parent. The signal follows the parent's spawning thread, so that thread must live on."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)


def apply(memory_mb: int, *, cuda: bool) -> None:
    """Limit this process: private memory (not with CUDA, which reserves far more than it uses), no core files.

    Files that are mapped for reading take no private memory, however large they are.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_mb and not cuda:
        # What is reserved already (libraries) is not the job's doing; what of it is resident counts as used.
        room = memory_mb * 1_000_000 - private_bytes(os.getpid())
        limit = _reserved_bytes() + max(room, 64_000_000)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def private_bytes(pid: int) -> int:
    """Resident private memory of a process in bytes (RssAnon: resident less shared); 0 when it is gone."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_text().split()
        return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def private_bytes_of_session(session: int) -> int:
    """The same of all processes of a session: of a child and of those it started."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            total += private_bytes(int(path.parent.name))
    return total


def cpu_seconds(pid: int) -> float:
    """CPU time a process has used in seconds; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return 0.0


def out_of_memory_kills() -> int:
    """How often the kernel killed a process of this cgroup for memory; 0 where that cannot be read."""
    try:
        for line in Path("/sys/fs/cgroup/memory.events").read_text().splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    except OSError:
        pass
    return 0


def as_job_error(error: BaseException) -> JobError:
    """The reason a method failed, as something the user can act on."""
    if isinstance(error, JobError):
        return error
    if _is_out_of_memory(error):
        return JobError("out_of_memory", f"The job ran out of memory: {_first_line(error)}", hint=OUT_OF_MEMORY_HINT)
    if _is_disk_full(error):
        return JobError(
            "disk_full", "The worker's disk is full.", hint="Try again later, or ask the operator for room."
        )
    return JobError(
        "internal",
        f"{type(error).__name__}: {_first_line(error)}",
        hint="This is a fault of ours; the job's log has the traceback.",
    )


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    text = str(error)
    # torch raises plain RuntimeErrors for the CPU allocator, and its own class for CUDA.
    wanted = (
        "can't allocate memory",
        "not enough memory",
        "CUDA out of memory",
        "CUBLAS_STATUS_ALLOC_FAILED",
    )
    if type(error).__name__ == "OutOfMemoryError" or any(part in text for part in wanted):
        return True
    return isinstance(error, OSError) and error.errno == 12


def _is_disk_full(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "No space left on device" in str(error)  # libraries in other languages have errors of their own


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:500]


def _reserved_bytes() -> int:
    """What RLIMIT_DATA counts of this process: private writable mappings, resident or not (VmData)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmData:")[2].split()[0]) * 1024
