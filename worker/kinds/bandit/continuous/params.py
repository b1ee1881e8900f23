"""What may be asked of an estimate on doses."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from worker.kinds.bandit.continuous.kernels import Kernel
from worker.kinds.bandit.stepwise.params import StepwiseParams


class ContinuousEstimateParams(StepwiseParams):
    """Parameters of `continuous-estimate`."""

    kernel: Kernel = Field("epanechnikov", description="How a dose counts by its distance from the target's.")
    bandwidth: float | None = Field(
        None, gt=0, description="Distance of doses that still count, in their unit; null: chosen by SLOPE."
    )
    reward_model: Literal["quadratic", "gbdt", "none"] = Field(
        "quadratic",
        description="Model of the reward inside Kernel DR: ridge on context, dose and its square with products, or "
        "boosted trees; cross-fitted.",
    )
    folds: int = Field(3, ge=2, le=10, description="Folds of its cross-fitting.")
