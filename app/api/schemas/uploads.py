"""Documents of resumable uploads."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import Field

from app.api.schemas.common import Answer, Request, Sha256


class UploadWanted(Request):
    """What the headers of a new upload say."""

    length: int = Field(ge=0)
    dataset: str = Field(min_length=1, max_length=100)
    path: str = Field(min_length=1, max_length=255)
    sha256: Sha256 | None = None


class UploadView(Answer):
    """A resumable upload as it was made; ask for its progress with HEAD."""

    id: str
    dataset: str
    path: str
    length: int
    expires_at: datetime

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> UploadView:
        """From its row."""
        return cls(dataset=row["dataset_id"], **{name: row[name] for name in ("id", "path", "length", "expires_at")})
