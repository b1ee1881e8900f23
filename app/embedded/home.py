"""The home folder: where one embedded installation keeps everything it has and knows.

```
pg/ redis/            the engines' data        blobs/ staging/   the files of the store
logs/<part>.log       what each part said      engines/          copies of programs, only when needed
config.toml           generated secrets, 0600  run/credentials   {"api_key": "dsk_..."}, 0600
run/lock              held while a supervisor runs
run/state.json        what runs: {"state": "starting"|"ready"|"stopping", "url", "pid", "pid_ticks",
                      "started_at", "ready_at",
                      "parts": {name: {"state", "pid", "pid_ticks", "restarts", "last_exit"}}}
```
`run/state.json` is removed by an orderly stop; after a kill -9 it stays, and its `pid` no longer runs.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import tomllib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from app.embedded.accounts import private_folder
from app.embedded.errors import EmbeddedError
from app.embedded.processes import alive

_ROOT_HOME = Path("/var/lib/distillery")


@dataclass(frozen=True)
class Secrets:
    """The passwords and keys that were made for one home; `fresh` when they were made just now."""

    postgres: str
    postgres_superuser: str
    postgres_application: str
    signing: str
    fresh: bool = False


@dataclass
class PartState:
    """What became of one part: its state, its process, and how often it had to be started again."""

    state: str = "waiting"
    pid: int = 0
    pid_ticks: int = 0
    restarts: int = 0
    last_exit: int | None = None


@dataclass
class RunState:
    """What `run/state.json` says about a running supervisor; times are seconds since the epoch."""

    state: str
    url: str
    pid: int
    pid_ticks: int
    started_at: float
    ready_at: float | None = None
    parts: dict[str, PartState] = field(default_factory=lambda: {})

    @property
    def running(self) -> bool:
        """Whether the supervisor that wrote this still lives."""
        return alive(self.pid, self.pid_ticks)

    def processes(self) -> list[tuple[int, int]]:
        """The parts' processes as (pid, start ticks)."""
        return [(part.pid, part.pid_ticks) for part in self.parts.values() if part.pid]


def default_home() -> Path:
    """`$DISTILLERY_HOME`, else /var/lib/distillery for root, else the user's data folder."""
    named = os.environ.get("DISTILLERY_HOME")
    if named:
        return Path(named).expanduser()
    if os.geteuid() == 0:
        return _ROOT_HOME
    from platformdirs import user_data_path

    return user_data_path("distillery", appauthor=False)


class Home:
    """The folder of one embedded installation."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.postgres = self.path / "pg"
        self.redis = self.path / "redis"
        self.blobs = self.path / "blobs"
        self.staging = self.path / "staging"
        self.logs = self.path / "logs"
        self.run = self.path / "run"
        self.engines = self.path / "engines"
        self.config = self.path / "config.toml"
        self.credentials = self.run / "credentials"
        self.state_file = self.run / "state.json"

    def create(self) -> None:
        """Make what is missing; raises EmbeddedError when the folder belongs to somebody else."""
        # As root another account runs Postgres below this folder, so that one must be able to pass through.
        mode = 0o711 if os.geteuid() == 0 else 0o700
        try:
            if not self.path.exists():
                self.path.mkdir(parents=True)
                self.path.chmod(mode)
            if self.path.stat().st_uid != os.geteuid():
                raise EmbeddedError(
                    f"{self.path} belongs to another account; "
                    "run as that account, or choose another home with DISTILLERY_HOME."
                )
            for folder in (self.redis, self.blobs, self.staging, self.logs, self.run):
                private_folder(folder)
        except OSError as error:
            raise EmbeddedError(
                f"{self.path} cannot be used as a home ({error.strerror}); choose another with DISTILLERY_HOME."
            ) from None

    def lock(self) -> Lock | None:
        """The right to run this home, or None when another process has it."""
        handle = os.open(self.run / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        return Lock(handle)

    def secrets(self) -> Secrets:
        """The secrets of this home, made and written to `config.toml` when there are none."""
        if not self.config.exists():
            made = Secrets(
                postgres=secrets.token_urlsafe(32),
                postgres_superuser=secrets.token_urlsafe(32),
                postgres_application=secrets.token_urlsafe(32),
                signing=secrets.token_urlsafe(32),
                fresh=True,
            )
            write_private(self.config, _config_text(made))
            return made
        try:
            table: dict[str, Any] = tomllib.loads(self.config.read_text(encoding="utf-8"))["secrets"]
            known = Secrets(
                postgres=str(table["postgres"]),
                postgres_superuser=str(table["postgres_superuser"]),
                postgres_application=str(table.get("postgres_application", "")),
                signing=str(table["signing"]),
            )
        except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
            raise EmbeddedError(
                f"{self.config} cannot be read ({error}); put it right, or move it away to have it made anew."
            ) from None
        if not known.postgres_application:  # a home of the time when the service connected as the owner
            known = replace(known, postgres_application=secrets.token_urlsafe(32))
            write_private(self.config, _config_text(known))
        return known

    def read_state(self) -> RunState | None:
        """What the last supervisor wrote, whether it still runs or not; None when nothing can be read."""
        try:
            raw: dict[str, Any] = json.loads(self.state_file.read_text(encoding="utf-8"))
            parts = {str(name): PartState(**part) for name, part in raw.pop("parts").items()}
            return RunState(**raw, parts=parts)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write_state(self, state: RunState) -> None:
        """Replace the state file in one step."""
        write_private(self.state_file, json.dumps(asdict(state), indent=1))

    def clear_state(self) -> None:
        """Say that nothing runs here any more."""
        self.state_file.unlink(missing_ok=True)


class Lock:
    """The lock of a home; the kernel gives it back when the process ends, however it ends."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def release(self) -> None:
        """Give it back now."""
        os.close(self._handle)


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 in one step: readers see the old content or the new, never half of it."""
    half = path.with_name(f"{path.name}.{os.getpid()}.half")
    half.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        half.replace(path)
    except OSError:
        half.unlink(missing_ok=True)
        raise


def _config_text(made: Secrets) -> str:
    return (
        "# Made by the first start. Whoever reads this file can read and change everything in this home.\n"
        "[secrets]\n"
        f'postgres = "{made.postgres}"\n'
        f'postgres_superuser = "{made.postgres_superuser}"\n'
        f'postgres_application = "{made.postgres_application}"\n'
        f'signing = "{made.signing}"\n'
    )
