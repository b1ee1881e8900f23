"""The method that does nothing."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from worker.contract.method import method


class NoOpParams(BaseModel):
    model_config = ConfigDict(extra="forbid")


@method(kind="labels", task="advise", name="no-op", version=1)
def no_op(data: Any, params: NoOpParams, ctx: Any) -> None:
    """Do nothing."""
