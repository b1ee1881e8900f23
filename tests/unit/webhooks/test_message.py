"""What a message says, and that it stays small."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from app.webhooks.announce import BODY_BYTES, job_data, message

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


def row(**changes: Any) -> dict[str, Any]:
    made = {
        "id": "job_1",
        "state": "failed",
        "task": "distil",
        "kind": "interactions",
        "method": "auto",
        "dataset_id": "ds_1",
        "dataset_version": 2,
        "labels": {"team": "süß"},
        "result": None,
        "error": {"code": "diverged", "detail": "It diverged.", "hint": "Lower it."},
        "cached_from": None,
        "retry_of": None,
        "request_id": "req_1",
        "created_at": AT,
        "started_at": None,
        "finished_at": AT,
        "params": {"secret of": "others"},
    }
    return {**made, **changes}


def test_message_when_of_a_job_then_type_time_and_what_to_act_on() -> None:
    told = json.loads(message("job.failed", AT, job_data(row())))
    assert (told["type"], told["timestamp"]) == ("job.failed", "2026-05-01T12:00:00+00:00")
    assert told["data"]["dataset"] == "ds_1@2"
    assert told["data"]["labels"] == {"team": "süß"}
    assert told["data"]["error"]["code"] == "diverged"
    assert told["data"]["started_at"] is None
    assert "params" not in told["data"]


@pytest.mark.parametrize(
    "changes",
    [
        {"error": {"code": "internal", "detail": "x" * 100_000, "hint": "y" * 100_000, "trace": "z" * 100_000}},
        {"labels": {f"{n:063}": "\U0001f600" * 200 for n in range(16)}, "error": {"detail": "ü" * 30_000}},
        {"result": {"x": "y" * 30_000}},
    ],
    ids=["error", "labels and error", "result"],
)
def test_message_when_too_long_then_shortened_below_the_limit(changes: dict[str, Any]) -> None:
    body = message("job.failed", AT, job_data(row(**changes)))
    assert len(body.encode()) < BODY_BYTES
    told = json.loads(body)["data"]
    assert (told["id"], told["state"]) == ("job_1", "failed")


def test_message_when_only_the_error_is_long_then_the_rest_stays() -> None:
    told = json.loads(message("job.failed", AT, job_data(row(error={"code": "internal", "detail": "x" * 30_000}))))
    assert told["data"]["labels"] == {"team": "süß"}
    assert told["data"]["error"] == {"code": "internal", "detail": "x" * 500}
