"""Documents of webhook endpoints and the messages to them, and of imports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator

from app.api.schemas.common import Answer, Listed, Request, Sha256
from app.api.schemas.datasets import DatasetCreate
from app.api.schemas.job_webhook import URL
from app.store.webhooks import EVENTS

EventName = Literal["dataset.ready", "job.cancelled", "job.failed", "job.succeeded"]
DeliveryState = Literal["pending", "delivered", "failed"]
ROTATION_S = 86_400
_EVENTS = "Which events it hears of; none: only of the ends of jobs that name it."


class WebhookCreate(Request):
    """A new endpoint."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"url": "https://hooks.example.com/distillery", "events": ["job.succeeded", "job.failed"]}]
        }
    )

    url: str = Field(min_length=1, max_length=2048, description=URL)
    description: str = Field("", max_length=200)
    events: list[EventName] = Field(list(EVENTS), max_length=16, description=_EVENTS)  # pyright: ignore[reportArgumentType]

    @field_validator("events")
    @classmethod
    def _once(cls, value: list[str]) -> list[str]:
        return sorted(set(value))


class WebhookPatch(Request):
    """What may change later."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"enabled": True}, {"events": ["job.failed"]}]})

    url: str | None = Field(None, min_length=1, max_length=2048, description=URL)
    description: str | None = Field(None, max_length=200)
    events: list[EventName] | None = Field(None, max_length=16, description=_EVENTS)
    enabled: bool | None = Field(None, description="Messages that waited while it was disabled are then sent.")

    @field_validator("events")
    @classmethod
    def _once(cls, value: list[str] | None) -> list[str] | None:
        return None if value is None else sorted(set(value))


class WebhookRotate(Request):
    """How long the secret so far goes on to count."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"keep_s": 86_400}]})

    keep_s: int = Field(ROTATION_S, ge=0, le=604_800, description="Meanwhile each message is signed with both secrets.")


class WebhookView(Answer):
    """An endpoint without its secret."""

    id: str
    url: str
    description: str
    events: list[str]
    enabled: bool
    disabled_reason: str | None = Field(description="`user`, or `gone` when the receiver answered 410.")
    previous_until: datetime | None = Field(description="Until when messages are also signed with the secret before.")
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> WebhookView:
        """From its row."""
        return cls(**_plain(cls, row))


class WebhookCreated(WebhookView):
    """An endpoint with its secret, which is shown this once."""

    secret: str = Field(description="`whsec_...`; signatures are those of Standard Webhooks.")

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> WebhookCreated:
        """From its row."""
        return cls(secret=row["secret"], **_plain(WebhookView, row))


class WebhookList(Listed):
    """A page of endpoints, newest first."""

    items: list[WebhookView]


class DeliveryView(Answer):
    """A message to an endpoint and how its tries went."""

    id: str = Field(description="Also the header `webhook-id` of every try: receivers drop what they have seen.")
    endpoint: str
    event: str
    job: str | None
    state: DeliveryState
    attempt: int = Field(description="Tries so far; ten before it is given up.")
    next_at: datetime | None
    last_status: int | None = Field(description="Status of the last answer.")
    last_error: str | None = Field(
        description="`http_<status>`, unsafe_url, unresolvable, timeout, connect, tls, protocol or truncated."
    )
    last_at: datetime | None
    delivered_at: datetime | None
    created_at: datetime

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> DeliveryView:
        """From its row."""
        return cls(**_message(row))


class DeliveryDetail(DeliveryView):
    """A message with what it says."""

    payload: dict[str, Any]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> DeliveryDetail:
        """From its row."""
        return cls(payload=json.loads(row["body"]), **_message(row))


class DeliveryList(Listed):
    """A page of messages, newest first."""

    items: list[DeliveryView]


class DatasetImport(DatasetCreate):
    """A new dataset whose only file is fetched from the web."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "url": "https://data.example.com/clicks.csv",
                    "name": "shop clicks",
                    "kind": "interactions",
                    "columns": {"user": "customer", "item": "sku"},
                }
            ]
        }
    )

    url: str = Field(min_length=1, max_length=2048, description=URL + " Redirects are not followed.")
    sha256: Sha256 | None = Field(None, description="Of the file; another one is refused.")
    path: str | None = Field(
        None, min_length=1, max_length=255, description="Name of the file; else the last part of the address."
    )


def _plain(view: type[WebhookView], row: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: row[name] for name in view.model_fields if name != "enabled"}
    return {**fields, "enabled": row["disabled_at"] is None}


def _message(row: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {"endpoint": "endpoint_id", "job": "job_id"}
    return {name: row[renamed.get(name, name)] for name in DeliveryView.model_fields}
