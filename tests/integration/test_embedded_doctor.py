from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.embedded import doctor
from app.embedded.doctor import Check, checks
from app.embedded.home import Home, PartState, RunState
from app.embedded.processes import started_ticks


@pytest.fixture
def home() -> Iterator[Home]:
    made = Path(tempfile.mkdtemp(prefix="dst-"))
    made.chmod(0o711)
    yield Home(made / "home")
    shutil.rmtree(made)


@pytest.fixture
def no_gpu_question(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing torch takes seconds; one test asks for real."""
    monkeypatch.setattr(doctor, "_GPU_QUESTION", 'print(\'{"torch": "-", "devices": []}\')')


def named(found: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in found}


@pytest.mark.usefixtures("no_gpu_question")
def test_checks_when_nothing_was_started_then_say_so_and_change_nothing(home: Home) -> None:
    found = named(checks(home))
    for name in ("Python", "home", "account", "Postgres", "Redis", "port", "service", "schema"):
        assert found[name].ok, found[name]
    assert "not made yet" in found["home"].detail
    assert found["Postgres"].detail.startswith("postgres (PostgreSQL) 18")
    assert found["Redis"].detail.startswith("Redis server v=6.2")
    assert found["service"].detail == "not running here"
    assert all(check.detail for check in found.values())
    assert not home.path.exists()


@pytest.mark.usefixtures("no_gpu_question")
def test_home_when_secrets_are_readable_by_others_then_named(home: Home) -> None:
    home.create()
    home.secrets()
    assert named(checks(home))["home"].ok
    home.config.chmod(0o644)
    check = named(checks(home))["home"]
    assert not check.ok
    assert check.detail == f"{home.config} has mode 0644"
    assert "chmod" in check.hint


@pytest.mark.usefixtures("no_gpu_question")
@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user needs no other account")
def test_account_when_a_parent_is_closed_then_named(home: Home) -> None:
    home.path.parent.chmod(0o700)
    check = named(checks(home))["account"]
    assert not check.ok
    assert f"may not enter {home.path.parent}" in check.detail


@pytest.mark.usefixtures("no_gpu_question")
def test_service_when_it_does_not_answer_then_not_ok(home: Home) -> None:
    home.create()
    home.secrets()
    parts = {"api": PartState("ready", restarts=2)}
    ticks = started_ticks(os.getpid()) or 0
    home.write_state(RunState("ready", "http://127.0.0.1:1", os.getpid(), ticks, 0.0, parts=parts))
    found = named(checks(home))
    assert not found["service"].ok
    assert "started again: {'api': 2}" in found["service"].detail
    assert not found["schema"].ok  # no Postgres answers
    assert "in use by our own service" in found["port"].detail


def test_gpu_when_a_worker_is_installed_then_asked_in_another_process() -> None:
    program = (
        "from app.embedded.doctor import _gpu; import sys; c = _gpu(); print(c.ok, c.detail, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
        timeout=120,
    )
    assert done.stdout.startswith("True ")
    assert done.stdout.strip().endswith("False")
