"""Documents of what a tenant uses."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from app.api.schemas.common import Answer


class Amount(Answer):
    """How much of something is used, and how much may be."""

    used: float
    limit: float | None = Field(description="None: no limit.")


class Usage(Answer):
    """What the tenant of the key uses."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "stored_bytes": {"used": 1_520_000, "limit": 500_000_000_000},
                    "queued_jobs": {"used": 2, "limit": 100},
                    "gpu_s_per_day": {"used": 0, "limit": 36_000},
                    "requests_per_s": 200,
                }
            ]
        }
    )

    stored_bytes: Amount
    queued_jobs: Amount
    gpu_s_per_day: Amount
    requests_per_s: float | None = Field(description="Of the tenant, on average; see the RateLimit headers.")
