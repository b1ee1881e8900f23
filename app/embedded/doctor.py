"""What stands in the way of a start, and what runs: the checks behind `distillery doctor`."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from app.embedded import ports
from app.embedded.accounts import Account, first_closed, postgres_account
from app.embedded.binaries import program_version, redis_server, wheel_postgres
from app.embedded.errors import EmbeddedError
from app.embedded.home import Home, RunState
from app.embedded.parts import answers

_DISK_BYTES = 2_000_000_000  # below this the service refuses uploads
_MEMORY_BYTES = 1_500_000_000  # idle engines, API and worker, and a small job beside them
_GPU_QUESTION = """
import json, torch
found = torch.cuda.is_available()
print(json.dumps({
    "torch": torch.__version__,
    "devices": [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())] if found else [],
}))
"""
_SCHEMA_QUESTION = """
import json, os
from sqlalchemy import create_engine
from app.store.migrate import current_revision, head_revision
with create_engine(os.environ["DISTILLERY_DATABASE_URL"]).connect() as conn:
    print(json.dumps({"current": current_revision(conn), "head": head_revision()}))
"""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: `detail` says what was found, `hint` what to do when it is not `ok`."""

    name: str
    ok: bool
    detail: str
    hint: str = ""


def checks(home: Home) -> list[Check]:
    """Everything worth knowing before and after a start; none of the checks changes anything."""
    state = home.read_state()
    running = state if state is not None and state.running else None
    looks: list[Callable[[], Check]] = [
        _python,
        lambda: _home(home),
        lambda: _reach(home),
        lambda: _disk(home),
        _memory,
        lambda: _engine("Postgres", lambda: wheel_postgres() / "bin" / "postgres"),
        lambda: _engine("Redis", redis_server),
        lambda: _port(running),
        _gpu,
        lambda: _service(running),
        lambda: _schema(home, running),
    ]
    found = [look() for look in looks]
    return [replace(check, hint="") if check.ok else check for check in found]


def _python() -> Check:
    found = ".".join(str(number) for number in sys.version_info[:3])
    return Check("Python", sys.version_info >= (3, 11), found, "Python 3.11 or newer is needed.")


def _home(home: Home) -> Check:
    if not home.path.exists():
        above = next(folder for folder in home.path.parents if folder.exists())
        return Check(
            "home",
            os.access(above, os.W_OK),
            f"{home.path}, not made yet",
            f"{above} cannot be written by this account; choose a home with DISTILLERY_HOME.",
        )
    wrong: list[str] = []
    for path, allowed in [(home.path, 0o755), (home.run, 0o700), (home.blobs, 0o700), (home.redis, 0o700)]:
        wrong += _wrong(path, allowed)
    for path in (home.config, home.credentials, home.state_file):
        wrong += _wrong(path, 0o600)
    return Check(
        "home",
        not wrong,
        "; ".join(wrong) or str(home.path),
        "Files in the home must belong to this account and be closed to others (chmod go-rwx, chown).",
    )


def _wrong(path: Path, allowed: int) -> list[str]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return []
    except PermissionError:
        return [f"{path} cannot be looked at"]
    if found.st_uid != os.geteuid():
        return [f"{path} belongs to account number {found.st_uid}"]
    mode = stat.S_IMODE(found.st_mode)
    return [f"{path} has mode {mode:04o}"] if mode & ~allowed else []


def _reach(home: Home) -> Check:
    try:
        account: Account | None = postgres_account()
    except EmbeddedError as error:
        return Check("account", False, str(error), "Run as an ordinary user.")
    if account is None:
        return Check("account", True, "an ordinary one; Postgres runs as the same")
    closed = first_closed(home.path, account)
    return Check(
        "account",
        closed is None,
        f"root; Postgres runs as {account.name}" + (f", who may not enter {closed}" if closed else ""),
        "Choose a home below folders that everybody may enter (DISTILLERY_HOME), or do not run as root.",
    )


def _disk(home: Home) -> Check:
    place = home.path
    while not place.exists():
        place = place.parent
    usage = shutil.disk_usage(place)
    needed = max(_DISK_BYTES, usage.total // 20)
    return Check(
        "disk",
        usage.free >= needed,
        f"{usage.free / 1e9:.1f} GB free at {place}",
        f"Uploads are refused below {needed / 1e9:.1f} GB free; make room, or choose another home.",
    )


def _memory() -> Check:
    free = _available_memory()
    if free is None:
        return Check("memory", True, "cannot be read on this system")
    return Check(
        "memory",
        free >= _MEMORY_BYTES,
        f"{free / 1e9:.1f} GB available",
        f"At least {_MEMORY_BYTES / 1e9:.1f} GB are needed for the service and one small job.",
    )


def _available_memory() -> int | None:
    """Bytes that can be had: what the machine has left, or less when a container's limit is nearer."""
    found: list[int] = []
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
        group = Path("/sys/fs/cgroup")
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
        found += [int(limit) - used] if limit != "max" else []
    except (OSError, ValueError):
        pass  # no cgroup of version 2: the machine's own figure stands
    return min(found, default=None)


def _engine(name: str, program: Callable[[], Path]) -> Check:
    try:
        return Check(name, True, program_version(program()))
    except EmbeddedError as error:
        return Check(name, False, str(error), "Install the server parts: pip install 'distillery-service[server]'.")


def _port(running: RunState | None) -> Check:
    if running is not None:
        return Check("port", True, f"in use by our own service at {running.url}")
    try:
        with ports.listen("127.0.0.1", None) as listener:
            port = ports.port_of(listener)
    except EmbeddedError as error:
        return Check("port", False, str(error), "Name a free one with --port.")
    taken = "" if port == ports.DEFAULT_PORT else f" ({ports.DEFAULT_PORT} is in use by another program)"
    return Check("port", True, f"{port} is free{taken}")


def _gpu() -> Check:
    if find_spec("torch") is None:
        return Check("GPU", True, "not looked for: no worker is installed here")
    # In a process of its own: this package never loads torch, and a broken driver must not take us down.
    said = _ask(_GPU_QUESTION, dict(os.environ))
    if isinstance(said, str):
        return Check("GPU", False, said, "Reinstall torch for this machine's driver, or run with CPU only.")
    devices = ", ".join(str(name) for name in said["devices"])
    return Check("GPU", True, f"torch {said['torch']}, {devices or 'no CUDA device: jobs run on the CPU'}")


def _service(running: RunState | None) -> Check:
    if running is None:
        return Check("service", True, "not running here", "")
    restarts = {name: part.restarts for name, part in running.parts.items() if part.restarts}
    again = f"; started again: {restarts}" if restarts else ""
    well = running.state == "ready" and answers(f"{running.url}/healthz")
    return Check(
        "service",
        well,
        f"{running.state} at {running.url} (pid {running.pid}){again}",
        "It is not answering; look into the logs folder of the home.",
    )


def _schema(home: Home, running: RunState | None) -> Check:
    if running is None:
        return Check("schema", True, "not looked at: the service does not run")
    env = dict(os.environ) | _running_env(home)
    said = _ask(_SCHEMA_QUESTION, env)
    if isinstance(said, str):
        return Check("schema", False, said, "Look into logs/postgres.log and logs/prepare.log of the home.")
    same = said["current"] == said["head"]
    return Check(
        "schema",
        same,
        f"revision {said['current']}" + ("" if same else f", this code expects {said['head']}"),
        "Stop the service and start it again; a start migrates the database.",
    )


def _running_env(home: Home) -> dict[str, str]:
    from app.embedded.postgres import APPLICATION, Postgres

    try:
        secrets = home.secrets()
        postgres = Postgres(
            home.postgres,
            password=secrets.postgres,
            superuser_password=secrets.postgres_superuser,
            application_password=secrets.postgres_application,
            copies=home.engines,
        )
    except (EmbeddedError, OSError):
        return {}
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(word for word in (root, os.environ.get("PYTHONPATH", "")) if word)
    return {"DISTILLERY_DATABASE_URL": postgres.url(role=APPLICATION), "PYTHONPATH": path}


def _ask(program: str, env: dict[str, str]) -> dict[str, Any] | str:
    """The JSON object a small program prints, or the last line it complained with."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", program],
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "no answer within 60 s"
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return json.loads(done.stdout.splitlines()[-1])
