"""What may be asked of an estimate on trajectories."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from worker.kinds.bandit.stepwise.params import StepwiseParams


class SequentialEstimateParams(StepwiseParams):
    """Parameters of `sequential-estimate`."""

    discount: float = Field(
        1.0, gt=0, le=1, description="What a reward is worth a step later; 1: a trajectory is worth the sum."
    )
    q_model: Literal["linear", "gbdt", "none"] = Field(
        "linear",
        description="Model of fitted Q evaluation, inside DR, WDR and MAGIC; cross-fitted over trajectories. linear: "
        "ridge on state, action and their products; gbdt: boosted trees; a model a step.",
    )
    folds: int = Field(3, ge=2, le=10, description="Folds of its cross-fitting.")
