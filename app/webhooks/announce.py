"""Write the messages about the end of a job. They are rows of the transaction that ends it: no end without them, no
message about an end that did not come to be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from app.store.tables import job
from app.store.webhooks import add_delivery, listeners

BODY_BYTES = 20_000
_TOLD = ("id", "state", "task", "kind", "method", "labels", "result", "error", "cached_from", "retry_of", "request_id")
_TIMES = ("created_at", "started_at", "finished_at")


def announce_end(conn: Connection, job_id: str) -> None:
    """A message to every endpoint that hears of this job's end, and of the version it made ready."""
    ended = conn.execute(select(job).where(job.c.id == job_id)).mappings().one()
    _announce(conn, ended, f"job.{ended['state']}", job_data(ended))
    if ended["task"] == "ingest" and ended["state"] == "succeeded":
        reference = f"{ended['dataset_id']}@{ended['dataset_version']}"
        data = {"dataset": ended["dataset_id"], "version": ended["dataset_version"], "reference": reference}
        _announce(conn, ended, "dataset.ready", {**data, "kind": ended["kind"], "job": job_id})


def job_data(row: Mapping[Any, Any]) -> dict[str, Any]:
    """What a message tells of a job: enough to act on; the rest is at `/v1/jobs/{id}`."""
    data = {name: row[name] for name in _TOLD}
    times = {name: row[name].isoformat() if row[name] else None for name in _TIMES}
    return {**data, **times, "dataset": f"{row['dataset_id']}@{row['dataset_version']}"}


def message(event: str, at: datetime, data: Mapping[str, Any]) -> str:
    """The body, below 20 kB: what is too long is shortened, and what is not needed then left out."""
    content = dict(data)
    for shorten in (_keep, _shorten_error, _drop_labels, _only_id):
        content = shorten(content)
        document = {"type": event, "timestamp": at.isoformat(), "data": content}
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str)
        if len(body.encode()) < BODY_BYTES:
            break
    return body


def _announce(conn: Connection, ended: Mapping[Any, Any], event: str, data: Mapping[str, Any]) -> None:
    endpoints = listeners(conn, ended["tenant_id"], event, ended["id"])
    if not endpoints:
        return
    body = message(event, ended["finished_at"], data)
    for endpoint_id in endpoints:
        add_delivery(conn, ended["tenant_id"], endpoint_id, event=event, body=body, job_id=ended["id"])


def _keep(data: dict[str, Any]) -> dict[str, Any]:
    return data


def _shorten_error(data: dict[str, Any]) -> dict[str, Any]:
    error = data.get("error")
    if not isinstance(error, dict):
        return data
    short = {name: str(error[name])[:500] for name in ("code", "detail", "hint", "pointer") if name in error}  # pyright: ignore[reportUnknownVariableType]
    return {**data, "error": short}


def _drop_labels(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "labels": {}}


def _only_id(data: dict[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in ("id", "state") if name in data}
