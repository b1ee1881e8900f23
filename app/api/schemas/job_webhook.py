"""How a job names who hears of its end."""

from __future__ import annotations

from pydantic import Field, model_validator

from app.api.schemas.common import Request

URL = "An https address without user, password or fragment, on an allowed port of a public host."


class JobWebhook(Request):
    """Who hears of a job's end: an endpoint, or an address, for which an endpoint is made when there is none."""

    endpoint_id: str | None = Field(None, min_length=1, max_length=100)
    url: str | None = Field(None, min_length=1, max_length=2048, description=URL + " Needs the scope webhooks:write.")

    @model_validator(mode="after")
    def _one(self) -> JobWebhook:
        if (self.endpoint_id is None) == (self.url is None):
            raise ValueError("give either endpoint_id or url")
        return self
