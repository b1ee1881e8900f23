"""Log lines: one JSON object each, the keys that tie them together, and no secret in any of them."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from app import logs
from app.settings import Settings

Lines = Callable[[], list[dict[str, Any]]]
SECRETS = {"database": "p%40ss-word-of-db", "signing": "s" * 32, "store": "store-secret-key"}


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What was logged since, as objects."""
    settings = Settings.model_validate(
        {
            "database_url": f"postgresql+psycopg://me:{SECRETS['database']}@db/distillery",
            "broker_url": "redis://:brokerpassword@redis/0",
            "secret": SECRETS["signing"],
            "blob_secret_key": SECRETS["store"],
            "blob_dir": "b",
            "staging_dir": "s",
        }
    )
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("api", settings, stream=stream)
    structlog.contextvars.clear_contextvars()
    try:
        yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(False)
        structlog.reset_defaults()


def test_line_when_bound_keys_are_used_then_all_are_in_one_object(lines: Lines):
    log = structlog.get_logger().bind(job_id="job_1", attempt=2, fence=3, tenant="ten_1")
    with structlog.contextvars.bound_contextvars(request_id="req_1"):
        log.info("attempt_started", method="distill-cf")
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "attempt_started", "level": "info", "process": "api", "job_id": "job_1", "attempt": 2, "fence": 3,
        "tenant": "ten_1", "request_id": "req_1", "method": "distill-cf",
    }  # fmt: skip


def test_line_when_a_library_logs_then_it_has_the_same_form(lines: Lines):
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)
    (line,) = lines()
    assert line["event"] == "Started server process [7]"
    assert line["logger"] == "uvicorn.error"
    assert line["process"] == "api"


def test_line_when_text_holds_line_breaks_then_it_stays_one_line(lines: Lines):
    structlog.get_logger().info("request", path='/x\n{"event": "forged"}')
    assert [line["event"] for line in lines()] == ["request"]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("cannot reach postgresql+psycopg://me:hunter22@db/x", "hunter22"),
        ("redis://:pass@redis:6379/0 is away", "pass@"),
        ("Authorization: Bearer abc.def-123", "abc.def-123"),
        ("key dsk_01abc_S3cr3t-part_x was used", "S3cr3t-part_x"),
        ("signed with whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("GET https://s3/b/k?X-Amz-Signature=00ff&X-Amz-Date=1", "00ff"),
        (f"the driver said {SECRETS['signing']}", SECRETS["signing"]),
        ("its password is p@ss-word-of-db today", "p@ss-word-of-db"),
        (f"{SECRETS['store']} was refused", SECRETS["store"]),
    ],
)
def test_secret_when_in_any_part_of_a_line_then_it_is_not_shown(lines: Lines, text: str, secret: str):
    log = structlog.get_logger()
    log.warning(text)
    log.warning("x", detail=text, nested={"deep": [text]}, error=ValueError(text))
    logging.getLogger("celery").warning("said %s", text)
    try:
        raise RuntimeError(text)
    except RuntimeError:
        log.exception("failed")
    found = lines()
    assert len(found) == 4
    assert secret not in json.dumps(found)
    assert "RuntimeError" in found[3]["exception"]


@pytest.mark.parametrize("name", ["password", "token", "Authorization", "secret_key"])
def test_secret_when_the_key_says_so_then_its_value_is_not_shown(lines: Lines, name: str):
    structlog.get_logger().info("x", **{name: "anything"})
    assert lines()[0][name] == "***"


def test_error_when_postgres_tells_of_a_row_then_its_values_are_not_shown(lines: Lines):
    detail = "DETAIL:  Failing row contains (usr_1, Jane\nDoe).\nCONTEXT:  JSON data, line 1: Jane\nHINT:  Look."
    try:
        raise RuntimeError(f"null value in column\n{detail}")
    except RuntimeError:
        structlog.get_logger().exception("failed")
    (line,) = lines()
    assert "Jane" not in str(line)
    assert "Doe" not in str(line)
    assert "HINT:  Look." in line["exception"]


def test_redaction_when_an_address_holds_no_secret_then_it_stays(lines: Lines):
    text = "https://host:8080/v1/datasets/ds_01@3 and s3://bucket/prefix"
    structlog.get_logger().info("x", url=text)
    assert lines()[0]["url"] == text


def test_configure_when_a_terminal_watches_then_lines_are_readable(monkeypatch: pytest.MonkeyPatch, lines: Lines):
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    logs.configure("worker", stream=stream)
    structlog.get_logger().info("worker_ready", token="abc")
    assert "worker_ready" in stream.getvalue()
    assert not stream.getvalue().startswith("{")
    assert "abc" not in stream.getvalue()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_line_when_shown_in_a_terminal_then_no_value_steers_it(lines: Lines):
    terminal = Terminal()
    logs.configure("api", stream=terminal)
    structlog.get_logger().info("said\x1b]0;title\x07", path="/x\x9b31m\x1b[2J", name="a\u202eb")
    shown = re.sub("\x1b\\[[0-9;]*m", "", terminal.getvalue())  # the colours of the line itself
    assert not [char for char in shown if char in "\x07\x1b\x9b\u202e"]
    assert "\\x1b[2J" in shown
