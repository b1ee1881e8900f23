"""Documents of API keys."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, ConfigDict, Field, field_validator

from app.api.schemas.common import Answer, Listed, Request, ShortText

ScopeName = Literal[
    "datasets:read", "datasets:write", "jobs:read", "jobs:write", "summaries:read", "webhooks:write", "admin"
]


class KeyCreate(Request):
    """A new API key."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "nightly job", "scopes": ["datasets:read", "jobs:write"]}]}
    )

    name: ShortText
    scopes: list[ScopeName] = Field(min_length=1, max_length=16)
    expires_at: AwareDatetime | None = None

    @field_validator("expires_at")
    @classmethod
    def _later(cls, value: datetime | None) -> datetime | None:
        if value is not None and value <= datetime.now(UTC):
            raise ValueError("lies in the past")
        return value


class KeyView(Answer):
    """An API key without its secret."""

    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    made_by: str | None = Field(description="The key that it falls with.")


class KeyCreated(KeyView):
    """A new key with its token, which is shown this once."""

    token: str


class KeyList(Listed):
    """Every key of the tenant, newest first."""

    items: list[KeyView]


class Me(Answer):
    """Whose key this is and what it may."""

    key_id: str
    tenant_id: str
    name: str
    scopes: list[str]


class Erasure(Answer):
    """The tenant that is being erased."""

    tenant_id: str
