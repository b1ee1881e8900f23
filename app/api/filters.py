"""Filters that several lists share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import AwareDatetime, BeforeValidator

from app.api.problems import Problem


def written_out(value: Any) -> Any:
    """Refuse a time that is a bare number: only ISO 8601 is taken."""
    # pydantic would take 1700000000 for seconds since 1970, which the description does not.
    if isinstance(value, str) and "-" not in value[1:]:
        raise ValueError("not a time as 2026-01-05T09:30:00Z")
    return value


CreatedAfter = Annotated[
    Annotated[AwareDatetime, BeforeValidator(written_out)] | None,
    Query(description="Only what was made after this time, as 2026-01-05T09:30:00Z."),
]
OfDataset = Annotated[
    str | None, Query(max_length=100, description="Only of this dataset `ds_x`, or version `ds_x@1`.")
]
OfJob = Annotated[str | None, Query(max_length=100, description="Only what this job made.")]


def text_of(time: datetime | None) -> str | None:
    """A time as a page token remembers it."""
    return time.isoformat() if time else None


def version_of(text: str | None) -> tuple[str, int | None] | None:
    """A dataset's id and, where the text names a version, its number."""
    if not text:
        return None
    dataset_id, at, number = text.partition("@")
    if not at:
        return dataset_id, None
    if not (number.isascii() and number.isdigit() and int(number) < 2**31):
        raise Problem("invalid_request", "A version is named as ds_...@1.", pointer="dataset")
    return dataset_id, int(number)


Cascade = Annotated[
    bool,
    Query(description="Erase it, and everything that was made from it, at once: jobs, summaries, reports, exports."),
]
