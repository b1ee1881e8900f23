from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from distillery import errors
from distillery._connection import find_connection
from distillery._home import look
from distillery._operations import share_or_units


def started_ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose state names this very process as the supervisor."""
    (tmp_path / "run").mkdir()
    pid = os.getpid()
    state = {"state": "ready", "url": "http://127.0.0.1:9", "pid": pid, "pid_ticks": started_ticks(pid), "parts": {}}
    (tmp_path / "run" / "state.json").write_text(json.dumps(state))
    (tmp_path / "run" / "credentials").write_text('{"api_key": "dsk_home_x"}')
    return tmp_path


def test_connection_when_nothing_runs_then_says_what_to_do() -> None:
    with pytest.raises(errors.NotConfigured) as caught:
        find_connection()
    assert "distillery up" in caught.value.hint


def test_connection_when_embedded_service_runs_then_takes_its_address_and_key(home: Path) -> None:
    found = find_connection()
    assert (found.url, found.api_key) == ("http://127.0.0.1:9", "dsk_home_x")


def test_connection_when_environment_is_set_then_it_wins(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTILLERY_URL", "https://d.example/")
    monkeypatch.setenv("DISTILLERY_API_KEY", "dsk_env_x")
    found = find_connection()
    assert (found.url, found.api_key) == ("https://d.example", "dsk_env_x")
    assert find_connection("http://given", "dsk_given_x").url == "http://given"


def test_connection_when_address_is_another_then_the_homes_key_is_not_sent_there(home: Path) -> None:
    with pytest.raises(errors.NotConfigured, match="no API key"):
        find_connection("https://elsewhere.example")
    assert find_connection("http://127.0.0.1:9/").api_key == "dsk_home_x"


def test_look_when_process_number_belongs_to_another_process_now_then_is_stopped(home: Path) -> None:
    file = home / "run" / "state.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pid_ticks": 1}))
    assert look(home).state == "stopped"


def test_look_when_state_file_is_damaged_then_is_stopped(home: Path) -> None:
    (home / "run" / "state.json").write_text("{")
    assert look(home).state == "stopped"


@pytest.mark.parametrize(
    ("budget", "sent"),
    [
        (0.01, "1%"),
        (0.001, "0.1%"),
        (0.015, "1.5%"),
        (1e-7, "0.00001%"),
        (500, 500),
        (500.0, 500),
        ("2%", "2%"),
        ("150kB", "150kB"),
    ],
)
def test_budget_when_given_then_is_sent_as_the_service_takes_it(budget: float | str, sent: int | str) -> None:
    assert share_or_units(budget) == sent


@pytest.mark.parametrize("budget", [1.0, 0.0, -0.1, 2.5, True])
def test_budget_when_it_means_nothing_then_raises(budget: float) -> None:
    with pytest.raises(ValueError, match="budget"):
        share_or_units(budget)
