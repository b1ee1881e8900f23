from __future__ import annotations

import pytest

from distillery import _requests


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    """Retries without pauses, and nothing of the machine's own environment."""
    monkeypatch.setattr(_requests, "_backoff", lambda attempt: 0.0)
    monkeypatch.setenv("DISTILLERY_HOME", str(tmp_path))
    monkeypatch.delenv("DISTILLERY_URL", raising=False)
    monkeypatch.delenv("DISTILLERY_API_KEY", raising=False)
