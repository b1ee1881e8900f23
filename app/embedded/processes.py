"""Starting tethered processes and recognising them again later by their number and start time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from app.embedded import tether
from app.embedded.accounts import Account

_TETHER = str(Path(tether.__file__))


def tethered(
    argv: Sequence[str], *, account: Account | None = None, death_signal: signal.Signals = signal.SIGKILL
) -> list[str]:
    """The command line that runs `argv` (first word: an absolute path) so that it dies with this process."""
    uid, gid = (account.uid, account.gid) if account else (tether.KEEP_ACCOUNT, tether.KEEP_ACCOUNT)
    front = [
        sys.executable,
        "-I",
        "-S",
        _TETHER,
        str(os.getpid()),
        str(int(death_signal)),
        str(uid),
        str(gid),
    ]
    return [*front, *argv]


def spawn(
    argv: Sequence[str],
    *,
    log: IO[bytes] | int,
    env: Mapping[str, str],
    account: Account | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
    cwd: Path | None = None,
    keep: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a tethered process in its own session, stdout and stderr into `log`; it inherits the descriptors in `keep`.

    Call it from a thread that lives as long as the process should: the kernel counts the death of the
    spawning thread as the death of the parent.
    """
    return subprocess.Popen(
        tethered(argv, account=account, death_signal=death_signal),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=dict(env),
        cwd="/" if account else cwd,  # an account need not be able to enter the current folder
        start_new_session=True,
        pass_fds=keep,
    )


def started_ticks(pid: int) -> int | None:
    """When a live process started, in clock ticks since boot; with the pid it names a process for good.

    None when there is no such process, or it is a zombie; 0 where /proc is missing and the process exists.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return _exists_without_proc(pid)
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces and brackets
    return None if fields[0] in "ZX" else int(fields[19])


def alive(pid: int, ticks: int) -> bool:
    """Whether the process that had this pid and start time still runs."""
    return started_ticks(pid) == ticks


def clear_leftovers(processes: Sequence[tuple[int, int]], *, patience_s: float = 10.0) -> None:
    """Wait until processes of an earlier run (pid, start ticks) are gone; kill those that do not go."""
    deadline = time.monotonic() + patience_s
    left = [process for process in processes if alive(*process)]
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [process for process in left if alive(*process)]
    for pid, _ in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def resident_bytes(pid: int) -> int:
    """Resident memory of a process in bytes, 0 when it is gone or /proc is missing."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _exists_without_proc(pid: int) -> int | None:
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        return 0
    return 0
