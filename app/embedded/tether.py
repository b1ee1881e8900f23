"""Ties a command's life to the process that started it: `python -I -S tether.py PARENT SIGNAL UID GID CMD..`.

Drops to an account when asked, asks the kernel for a signal when the parent dies, and becomes the command.
It is run by file path, without site packages, because it stands in front of every part and must cost little.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
KEEP_ACCOUNT = -1
NOT_STARTED = 127


def main(arguments: list[str]) -> None:
    """Drop to UID:GID (-1 keeps), have SIGNAL sent when PARENT dies, become CMD; 127 when that fails."""
    parent, death_signal, uid, gid = (int(word) for word in arguments[:4])
    command = arguments[4:]
    prctl = _prctl()  # loaded before the account changes, which may not be able to read our interpreter
    try:
        if uid != KEEP_ACCOUNT:
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        if prctl is not None:
            # After the change of account, because the kernel forgets the setting when the account changes.
            prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
            if os.getppid() != parent:  # it died before the kernel knew of our wish
                os.kill(os.getpid(), death_signal)
        # Python ignores these two, and what is ignored stays ignored across exec.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        os.execv(command[0], command)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error}\n")
        sys.exit(NOT_STARTED)


def _prctl() -> Callable[..., int] | None:
    if sys.platform != "linux":
        return None
    import ctypes  # deferred: this file is also imported for its constants

    return ctypes.CDLL(None).prctl


if __name__ == "__main__":
    main(sys.argv[1:])
