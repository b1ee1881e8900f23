"""Makes the secrets of a production service: `make secrets` writes those that the folder `secrets` lacks.

Compose puts each file into the containers that are given it, as it is, also for accounts other than its owner's. So the
files are readable, in a folder that only its owner may enter.
"""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

MADE = ("postgres_superuser", "postgres_owner", "postgres_application", "redis", "signing")
GIVEN = ("blob_secret_key",)  # that of an S3-like store; empty without one


def write(folder: Path) -> list[str]:
    """Make the folder and what it lacks; the names of what was made. Never changes a file that is there."""
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    made: list[str] = []
    for name in (*MADE, *GIVEN):
        path = folder / name
        if not path.exists():
            # Under another name first: what is broken off here must not leave half a password that is never changed.
            unfinished = folder / f".{name}"
            unfinished.unlink(missing_ok=True)
            unfinished.write_text(secrets.token_hex(24) if name in MADE else "", encoding="ascii")
            unfinished.chmod(0o444)
            unfinished.rename(path)
            made.append(name)
    return made


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else "secrets")
    sys.stdout.write(f"{where}: made {', '.join(write(where)) or 'nothing, all were there'}\n")
