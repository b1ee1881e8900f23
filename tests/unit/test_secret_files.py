"""Secrets from files that the environment names."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic_settings import SettingsError

from app.settings import Settings, with_password

GIVEN = {
    "DATABASE_URL": "postgresql+psycopg://app@postgres:5432/distillery",
    "BROKER_URL": "redis://redis:6379/0",
    "BLOB_DIR": "/data/blobs",
    "STAGING_DIR": "/data/staging",
}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECRET", "DATABASE_PASSWORD", "BROKER_PASSWORD", "BLOB_SECRET_KEY"):
        monkeypatch.delenv(f"DISTILLERY_{name}", raising=False)
    for name, value in GIVEN.items():
        monkeypatch.setenv(f"DISTILLERY_{name}", value)


def settings() -> Settings:
    return Settings()  # pyright: ignore[reportCallIssue]


def test_secrets_when_in_files_then_addresses_are_complete_whatever_a_password_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {"secret": "signing\n", "database_password": "p@ss/w:rd %\r\n", "broker_password": "b"}.items():
        (tmp_path / name).write_text(text)
        monkeypatch.setenv(f"DISTILLERY_{name.upper()}_FILE", str(tmp_path / name))
    found = settings()
    assert found.secret == "signing"
    assert found.database_url == "postgresql+psycopg://app:p%40ss%2Fw%3Ard%20%25@postgres:5432/distillery"
    assert found.broker_url == "redis://:b@redis:6379/0"


@pytest.mark.parametrize(
    ("content", "variable", "what"),
    [("x", "also here", "both set"), ("", None, "is empty"), (" \n", None, "is empty"), (None, None, "cannot be read")],
)
def test_secret_when_its_file_says_nothing_or_there_are_two_then_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None, variable: str | None, what: str
) -> None:
    if content is not None:
        (tmp_path / "secret").write_text(content)
    if variable is not None:
        monkeypatch.setenv("DISTILLERY_SECRET", variable)
    monkeypatch.setenv("DISTILLERY_SECRET_FILE", str(tmp_path / "secret"))
    with pytest.raises(SettingsError, match=f"DISTILLERY_SECRET.*{what}"):
        settings()


def test_file_when_named_for_what_is_no_secret_then_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "port").write_text("9")
    (tmp_path / "secret").write_text("s")
    monkeypatch.setenv("DISTILLERY_SECRET_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("DISTILLERY_PORT_FILE", str(tmp_path / "port"))
    assert settings().port == 8080


def test_password_when_there_is_none_then_the_address_stays_as_it_is() -> None:
    assert with_password("redis+socket:///a/b.sock", "") == "redis+socket:///a/b.sock"
    assert with_password("redis://u:old@h:1/0", "new") == "redis://u:new@h:1/0"
