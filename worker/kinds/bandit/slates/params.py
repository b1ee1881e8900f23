"""What may be asked of an estimate on slates."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from worker.kinds.bandit.stepwise.params import StepwiseParams

Behaviour = Literal["any", "cascade", "independent"]


class SlateEstimateParams(StepwiseParams):
    """Parameters of `slate-estimate`."""

    behaviour: Behaviour = Field(
        "any",
        description="How users look at a slate, on which the verdict rests. any: a reward may depend on the whole "
        "slate, nothing is assumed (SIPS); cascade: on nothing below its position (RIPS); independent: on nothing but "
        "its own item (IIPS). The fewer it depends on, the narrower; all that can be are reported.",
    )
    q_model: Literal["linear", "gbdt", "none"] = Field(
        "linear", description="Model of the rewards from a position on, inside Cascade-DR; cross-fitted over slates."
    )
    folds: int = Field(3, ge=2, le=10, description="Folds of its cross-fitting.")
