"""Whether a process of the service is alive, as container engines ask it: exit code 0 or 1.

`python -m app.health http://127.0.0.1:8080/healthz` asks an API; `python -m app.health` looks at the file that a
dispatcher or a worker touches while it goes round (`DISTILLERY_ALIVE_FILE`). Imports little, for it is asked often.
"""

from __future__ import annotations

import os
import sys
import time
import urllib.request
from pathlib import Path

STALE_S = 60.0


def beat(alive_file: str) -> None:
    """Say that this process goes round; nothing when no file is named, nor when the disk is full."""
    if alive_file:
        try:
            Path(alive_file).touch()
        except OSError:
            return


def is_fresh(alive_file: str) -> bool:
    """Whether the file was touched within the last minute."""
    try:
        return time.time() - Path(alive_file).stat().st_mtime < STALE_S
    except OSError:
        return False


def answers(url: str) -> bool:
    """Whether a GET of an address is answered with 200 within three seconds."""
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:  # noqa: S310 - the address is the operator's
            return answer.status == 200
    except OSError:
        return False


def main() -> None:
    """See the top of this file."""
    well = answers(sys.argv[1]) if len(sys.argv) > 1 else is_fresh(os.environ.get("DISTILLERY_ALIVE_FILE", ""))
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
