from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from distillery import Client
from distillery._home import look

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Installation:
    """A service started with `distillery up --detach` in a home of its own, and the command to talk to it."""

    home: Path
    environment: dict[str, str]

    def run(self, *words: str, ok: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """The command line with these words."""
        command = [sys.executable, "-m", "distillery", *words]
        environment = self.environment | variables
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=240)
        assert not ok or done.returncode == 0, f"{words} ended with {done.returncode}:\n{done.stderr}"
        return done

    def json(self, *words: str) -> Any:
        """Its one JSON document."""
        return json.loads(self.run(*words, "--json").stdout)


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    # Below /tmp itself: as root Postgres runs as another account, which must be able to enter every folder above.
    home = Path(tempfile.mkdtemp(prefix="distillery-acceptance-"))
    home.chmod(0o711)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DISTILLERY_")}
    environment |= {"DISTILLERY_HOME": str(home), "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    environment["DISTILLERY_THREADS"] = "1"  # other tests run on the other cores
    installed = Installation(home, environment)
    try:
        installed.run("up", "--detach", "--port", "0")
        yield installed
    finally:
        installed.run("down", ok=False)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="module")
def client(installation: Installation) -> Iterator[Client]:
    """The client with the installation's first key."""
    found = look(installation.home)
    with Client(found.url, found.api_key()) as connected:
        yield connected


@pytest.fixture(scope="session")
def clicks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 users with two tastes, 40 items, about 14 events each: tiny, but there is something to learn."""
    rows = ["uid,what"]
    for user in range(120):
        offset = 20 * (user % 2)
        rows += [f"u{user},i{offset + (user * 7 + 3 * n) % 20}" for n in range(14)]
    path = tmp_path_factory.mktemp("data") / "clicks.csv"
    path.write_text("\n".join(dict.fromkeys(rows)) + "\n")
    return path


@pytest.fixture(scope="session")
def dataset(installation: Installation, clicks: Path) -> str:
    """The clicks, uploaded; their reference."""
    words = ["--kind", "interactions", "--column", "user=uid", "--column", "item=what"]
    return installation.run("datasets", "add", str(clicks), *words).stdout.strip()
