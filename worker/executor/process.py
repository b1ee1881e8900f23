"""A process of the local pool: `python -m worker.executor.process LINK PARENT_PID`.

It takes (what, bytes) from the connection with descriptor LINK and answers with bytes, until the connection ends. It
is ended by its parent alone, so that the signals a whole group gets leave the parent time to write a resume point; it
never outlives its parent for long.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection

from worker.executor.mapper import Mapper

_LOOK_EVERY_S = 0.5


def main() -> None:
    """Serve one parent."""
    link, parent = Connection(int(sys.argv[1])), int(sys.argv[2])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    mapper = Mapper()
    try:
        while True:
            what, content = link.recv()
            link.send_bytes(mapper.take_up(content) if what == "function" else mapper.map(content))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_EVERY_S)
    os._exit(1)


if __name__ == "__main__":
    main()
