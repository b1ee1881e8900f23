"""Keys and passwords: in no log and no metric, whatever goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.security.fort import Fort

pytestmark = pytest.mark.security
ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "open-sesame-4711"
UNREACHABLE = {
    "DISTILLERY_DATABASE_URL": f"postgresql+psycopg://someone:{PASSWORD}@127.0.0.1:1/nowhere",
    "DISTILLERY_BROKER_URL": f"redis://:{PASSWORD}@127.0.0.1:1/0",
    "DISTILLERY_SECRET": f"{PASSWORD}-and-thirty-two-characters-or-more",
}


def secrets_of(fort: Fort) -> dict[str, str]:
    """Everything that must not be seen, by a name that may."""
    environment = fort.environment()
    found = {
        "api key": fort.key.split("_", 2)[2],
        "page secret": environment["DISTILLERY_SECRET"],
        "database address": environment["DISTILLERY_DATABASE_URL"],
        "database password": urlsplit(environment["DISTILLERY_DATABASE_URL"]).password or "",
        "broker address": environment["DISTILLERY_BROKER_URL"],
    }
    kept = json.loads((fort.service.home / "run" / "credentials").read_text())
    found |= {f"credential {name}": value for name, value in kept.items() if name != "url" and isinstance(value, str)}
    return {name: value for name, value in found.items() if value}


def test_logs_and_metrics_when_the_service_was_used_and_attacked_then_hold_no_secret(fort: Fort) -> None:
    made = fort.request("POST", "/v1/api-keys", json={"name": "leak", "scopes": ["admin"]}).json()["token"]
    fort.request("GET", f"/v1/me?key={fort.key}")
    fort.request("GET", f"/v1/jobs/{made}")
    fort.request("GET", "/v1/me", key=made + "x")
    fort.request("GET", "/v1/me", headers={"X-Request-Id": made}, key=made)
    fort.request("POST", "/v1/jobs", json={"dataset": made, "labels": {"key": made}})
    fort.raw(f"GET /{made} HTTP/1.1\r\nAuthorization: Bearer {made}\r\n\x00\r\n\r\n".encode())
    hidden = {**secrets_of(fort), "new key": made.split("_", 2)[2]}
    places = {path.name: path.read_text(errors="replace") for path in (fort.service.home / "logs").iterdir()}
    places["/metrics"] = fort.request("GET", "/metrics").text
    assert {"api.log", "worker.log", "dispatcher.log", "postgres.log", "redis.log"} <= set(places)
    found = [(name, what) for name, text in places.items() for what, value in hidden.items() if value in text]
    assert found == []


def test_children_when_they_read_strangers_files_then_know_no_secret(fort: Fort) -> None:
    """The process that opens uploads has neither the addresses nor the passwords of anything."""
    known = {child.pid: child.environ() for child in fort.service.children()}
    assert known
    for environment in known.values():
        assert not [name for name in environment if name.startswith("DISTILLERY_")]
        assert not [what for what, value in secrets_of(fort).items() if value in environment.values()]


def test_files_of_the_home_when_they_hold_secrets_then_only_their_owner_reads_them(fort: Fort) -> None:
    hidden = [value.encode() for value in secrets_of(fort).values()]
    for folder in (fort.service.home, fort.service.home / "run"):
        for path in folder.iterdir():
            if path.is_file() and any(value in path.read_bytes() for value in hidden):
                assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("module", ["app.main", "app.jobs.dispatch", "worker.main"])
def test_processes_when_their_engines_cannot_be_reached_then_say_so_without_passwords(
    module: str, tmp_path: Path
) -> None:
    folders = {f"DISTILLERY_{name}_DIR": str(tmp_path / name.lower()) for name in ("BLOB", "STAGING")}
    environment = {**os.environ, **UNREACHABLE, **folders, "DISTILLERY_PORT": "0", "DISTILLERY_WARM_SPARE": "false"}
    said = _said([sys.executable, "-m", module], environment, 20)
    assert said.strip()
    assert PASSWORD not in said


@pytest.mark.parametrize("wrong", [{"DISTILLERY_PORT": "many"}, {"DISTILLERY_BLOB_DIR": None}])
def test_processes_when_a_setting_is_wrong_then_the_error_shows_no_other(wrong: dict[str, str | None]) -> None:
    base = {
        **os.environ,
        **UNREACHABLE,
        "DISTILLERY_BLOB_DIR": "/nowhere",
        "DISTILLERY_STAGING_DIR": "/nowhere",
        **wrong,
    }
    environment = {name: value for name, value in base.items() if value is not None}
    said = _said([sys.executable, "-m", "app.main"], environment, 20)
    assert "error" in said.lower()
    assert PASSWORD not in said


def _said(command: list[str], environment: dict[str, str], seconds: float) -> str:
    """What a process says until it ends, or for so long."""
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        return process.communicate(timeout=seconds)[0].decode()
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            return process.communicate(timeout=10)[0].decode()
        except subprocess.TimeoutExpired:
            process.kill()
            return process.communicate()[0].decode()
