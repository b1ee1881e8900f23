"""What an embedded service leaves in its home folder for others to find: address, key, process.

Only the two files below are read (`app/embedded/home.py` describes the whole folder):
`run/state.json` {"state", "url", "pid", "pid_ticks", ...} and `run/credentials` {"api_key"}.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT_HOME = Path("/var/lib/distillery")


@dataclass(frozen=True)
class EmbeddedService:
    """A home folder and what runs in it. `state`: starting, ready, stopping or stopped."""

    home: Path
    state: str
    url: str = ""
    pid: int = 0
    parts: dict[str, Any] | None = None

    @property
    def ready(self) -> bool:
        """Whether it answers requests."""
        return self.state == "ready"

    @property
    def running(self) -> bool:
        """Whether its supervisor lives."""
        return self.state != "stopped"

    def api_key(self) -> str:
        """The key that was made for this home; empty when there is none or it may not be read."""
        return str(_read(self.home / "run" / "credentials").get("api_key", ""))


def default_home() -> Path:
    """`$DISTILLERY_HOME`, else /var/lib/distillery for root, else the user's data folder."""
    named = os.environ.get("DISTILLERY_HOME")
    if named:
        return Path(named).expanduser().absolute()
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return _ROOT_HOME
    from platformdirs import user_data_path

    return user_data_path("distillery", appauthor=False)


def look(home: Path | None = None) -> EmbeddedService:
    """What runs in a home (the default one when none is named)."""
    folder = (home or default_home()).expanduser().absolute()
    state = _read(folder / "run" / "state.json")
    pid = int(state.get("pid") or 0)
    if not pid or not _alive(pid, int(state.get("pid_ticks") or 0)):
        return EmbeddedService(folder, "stopped")
    return EmbeddedService(folder, str(state["state"]), str(state["url"]), pid, state.get("parts"))


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _alive(pid: int, ticks: int) -> bool:
    # A process number is used again after a while; its start time tells the old process from a new one.
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return not Path("/proc/self/stat").exists() and _answers_signals(pid)
    fields = stat.rpartition(")")[2].split()
    return fields[0] != "Z" and (not ticks or int(fields[19]) == ticks)


def _answers_signals(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
