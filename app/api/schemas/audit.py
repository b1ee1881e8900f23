"""Documents of the audit log."""

from __future__ import annotations

from datetime import datetime

from pydantic import ConfigDict, Field

from app.api.schemas.common import Answer, Listed


class AuditEntry(Answer):
    """Somebody did something. Ids alone: nothing that a user wrote."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "aud_06dc1m9f1w3y5a7c9e2g4j6mnr",
                    "at": "2026-01-05T09:30:00Z",
                    "actor": "key_06dc1m9f1w3y5a7c9e2g4j6mns",
                    "act": "dataset.delete",
                    "object": "ds_06dc1m9f1w3y5a7c9e2g4j6mnt",
                }
            ]
        }
    )

    id: str
    at: datetime = Field(description="Of downloads and refusals the minute, of which each is noted once.")
    actor: str = Field(description="The API key; `operator` for a command on the service's machines.")
    act: str = Field(description="Such as `job.create`, `summary.download`, `api_key.revoke`, `admin.refused`.")
    object: str = Field(description="The thing it was done to; of `admin.refused` the route.")


class AuditList(Listed):
    """Entries, newest first."""

    items: list[AuditEntry]
