"""How what a bandit job makes is judged on held-out rounds."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class EvaluateParams(BaseModel):
    """The `evaluate` field of a job that learns a policy or picks rounds."""

    model_config = ConfigDict(extra="forbid")

    estimator: Literal["snips", "dr", "sndr"] = Field("snips", description="Estimator on the held-out rounds.")
    alpha: float = Field(0.05, ge=0.001, le=0.5, description="One minus the level of the intervals.")
    epsilon: float = Field(
        0.05, gt=0, le=0.5, description="Share of the full log's policy value within which another counts as equal."
    )
    seeds: int = Field(20, ge=1, le=200, description="Draws of every cheap baseline of chosen rounds.")
    learn: bool = Field(True, description="Also learn a policy on chosen rounds and on all, and compare the two.")
