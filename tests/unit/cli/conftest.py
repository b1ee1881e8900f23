from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from distillery import _requests
from distillery.cli.app import app

Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs the command line in this process, without pauses, in an empty home and away from any service."""
    monkeypatch.setattr(_requests, "_backoff", lambda attempt: 0.0)
    monkeypatch.setenv("DISTILLERY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DISTILLERY_API_KEY", "dsk_a_b")
    monkeypatch.delenv("DISTILLERY_URL", raising=False)

    def invoke(*words: str, url: str = "") -> Result:
        if url:
            monkeypatch.setenv("DISTILLERY_URL", url)
        return CliRunner().invoke(app, list(words))

    return invoke
