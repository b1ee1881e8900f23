"""What may be asked of every estimate over units of several steps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

TargetName = Annotated[str, Field(min_length=1, max_length=100)]


class StepwiseParams(BaseModel):
    """Parameters that these methods share."""

    model_config = ConfigDict(extra="forbid")

    targets: list[TargetName] = Field(
        [], max_length=20, description="Target policies to estimate, by name; empty: every one that was uploaded."
    )
    alpha: float = Field(0.05, ge=0.001, le=0.5, description="One minus the level of the intervals.")
    r_min: float | None = Field(
        None, description="Least possible reward of a row; null: as declared at upload. A verdict needs both bounds."
    )
    r_max: float | None = Field(None, description="Largest possible reward of a row; null: as declared at upload.")
    cluster_by: Literal["auto", "unit", "user"] = Field(
        "auto",
        description="What is taken as independent. auto: users where the log has them; unit: every slate, trajectory "
        "or round, which the report records.",
    )
    gamma: float | None = Field(
        None,
        ge=1,
        le=10,
        description="A verdict must stand while the probability of what was logged is off by this factor; null: 1 "
        "where the logging policy was uploaded, 1.05 for propensities alone, 1.1 for estimated ones. 1 attests that "
        "they were recorded as they were.",
    )
