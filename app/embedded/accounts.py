"""Which account Postgres runs as, and whether that account can reach a folder.

Postgres refuses to run as root. When we are root it runs as `nobody`, in folders that belong to `nobody`; the
folders above them belong to somebody else and are never changed, they only have to be traversable.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from app.embedded.errors import EmbeddedError

_UNPRIVILEGED = "nobody"
SOCKET_PATH_LIMIT = 107  # sun_path holds 108 bytes with the closing zero


@dataclass(frozen=True)
class Account:
    """A user and group number that a process drops to."""

    uid: int
    gid: int
    name: str


def postgres_account() -> Account | None:
    """The account Postgres has to drop to, or None when we are not root and it can run as we do."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError:
        raise EmbeddedError(
            f"Postgres refuses to run as root and this machine has no account named {_UNPRIVILEGED}; "
            "run as an ordinary user instead."
        ) from None
    return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)


def first_closed(path: Path, account: Account) -> Path | None:
    """The outermost existing folder on the way to `path`, itself included, that the account may not enter."""
    resolved = path.resolve()
    for folder in [*reversed(resolved.parents), resolved]:
        if folder.is_dir() and not _may(folder, account, stat.S_IXUSR, stat.S_IXGRP, stat.S_IXOTH):
            return folder
    return None


def readable(path: Path, account: Account) -> bool:
    """Whether the account may reach and read a file."""
    return first_closed(path.parent, account) is None and _may(
        path.resolve(), account, stat.S_IRUSR, stat.S_IRGRP, stat.S_IROTH
    )


def private_folder(path: Path, account: Account | None = None) -> Path:
    """Make `path` if missing, and make sure that it is ours alone: a real folder, mode 0700, right owner."""
    owner = account.uid if account else os.geteuid()
    try:
        path.mkdir(mode=0o700, parents=True)
        if account:
            os.chown(path, account.uid, account.gid)
    except FileExistsError:
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner:
            raise EmbeddedError(
                f"{path} exists but is not a folder of the account with number {owner}; "
                "move it away or choose another home with DISTILLERY_HOME."
            ) from None
        if stat.S_IMODE(found.st_mode) != 0o700:
            path.chmod(0o700)  # ours by name, by owner and by purpose: not one of the folders above
    return path


def socket_folder(wanted: Path, file_name: str, account: Account | None = None) -> Path:
    """A private folder for a Unix socket: `wanted`, or a short one elsewhere if its path is too long."""
    if _short_enough(wanted, file_name):
        return private_folder(wanted, account)
    name = f"distillery-{account.uid if account else os.geteuid()}-{_short_digest(wanted)}"
    for place in _short_places(account):
        if _short_enough(place / name, file_name):
            return private_folder(place / name, account)
    raise EmbeddedError(
        f"the path {wanted / file_name} is too long for a socket (more than {SOCKET_PATH_LIMIT} bytes); "
        "choose a shorter home with DISTILLERY_HOME."
    )


def _short_places(account: Account | None) -> list[Path]:
    places = [Path(os.environ["XDG_RUNTIME_DIR"])] if os.environ.get("XDG_RUNTIME_DIR") else []
    places.append(Path("/tmp"))  # noqa: S108 - private_folder refuses a folder that somebody else put there
    return [place for place in places if place.is_dir() and (not account or not first_closed(place, account))]


def _short_enough(folder: Path, file_name: str) -> bool:
    return len(os.fsencode(folder / file_name)) <= SOCKET_PATH_LIMIT


def _short_digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _may(path: Path, account: Account, owner_bit: int, group_bit: int, other_bit: int) -> bool:
    found = path.stat()
    if found.st_uid == account.uid:
        return bool(found.st_mode & owner_bit)
    if found.st_gid == account.gid:
        return bool(found.st_mode & group_bit)
    return bool(found.st_mode & other_bit)
