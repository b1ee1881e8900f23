"""What a user may ask of learning: objective, treatment of unsupported actions, model, training."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class PolicyGradientParams(BaseModel):
    """Parameters of `policy-gradient`."""

    model_config = ConfigDict(extra="forbid")

    objective: Literal["ips", "snips", "dr", "banditnet", "poem", "dros", "sg"] = Field(
        "ips", description="Estimate of the policy's value that training maximises."
    )
    support: Literal["none", "restrict_actions", "extrapolate", "restrict_policy"] = Field(
        "restrict_policy",
        description="What is done about actions that the logging policy never takes: nothing; never take them either; "
        "give them modelled rewards (or k); give each the reward k.",
    )
    k: float | None = Field(
        None, description="Reward of an unsupported action, or the baseline of banditnet; left out: chosen from k_grid."
    )
    k_grid: list[float] | None = Field(
        None,
        min_length=1,
        max_length=20,
        description="Values of k to choose from; left out: 0, 15, 30 and 100 % of the reward range.",
    )
    kappa: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Largest mass on unsupported actions: find the largest k that keeps it, by bisection.",
    )
    selector: Literal["snips", "minsup", "dr"] | None = Field(
        None, description="Score on validation rounds that chooses; left out: minsup, or snips without logging policy."
    )
    model: Literal["linear", "mlp"] = Field(
        "linear", description="Network of the contexts; above 5,000 actions their features get a tower of their own."
    )
    reward_model: Literal["per_action", "ridge", "logistic", "gbdt", "mlp"] = Field(
        "per_action", description="Model of the reward for dr, dros, sg, extrapolation and the dr selector."
    )
    lr: float | None = Field(
        None, ge=1e-5, le=1, description="Step size of Adam; left out: 0.1 for a linear model on all rounds, else 0.01."
    )
    epochs: int = Field(50, ge=1, le=500, description="Passes over the training rounds.")
    batch_size: int | None = Field(
        None, ge=32, le=1_000_000, description="Rounds a step; left out: all of them up to a million, then 4,096."
    )
    l2: float | None = Field(
        None, ge=0, le=1, description="Weight decay; left out: 0.0002 times the mean reward above the lowest."
    )
    sharpen: bool = Field(
        True, description="Multiply the scores of a trained policy by 1, 2 or 4, whichever the selector likes best."
    )
    poem_lambda: float = Field(0.1, ge=0, le=10, description="Weight of poem's penalty on the standard error.")
    clip: float = Field(
        100.0, gt=0, le=1e9, description="Largest weight in poem and in the likelihood of a warm start."
    )
    shrinkage: float = Field(1.0, ge=0, description="Shrinkage of the weights in dros (from 0) and sg (0 to 1).")
    candidates: int = Field(
        200, ge=0, le=1000, description="Above 1,000 actions: how many of a context to choose from; 0 for all."
    )
    seeds: int = Field(1, ge=1, le=20, description="Trainings from different starts, of which the best is kept.")

    @model_validator(mode="after")
    def _fitting_together(self) -> PolicyGradientParams:
        if self.support == "extrapolate" and self.objective in ("snips", "banditnet"):
            raise ValueError("extrapolate adds a modelled value, which snips and banditnet have no place for; use ips")
        if self.objective == "sg" and self.shrinkage > 1:
            raise ValueError("shrinkage of sg lies between 0 and 1")
        if self.kappa is not None and (self.support != "restrict_policy" or self.objective == "banditnet"):
            raise ValueError("kappa is for support restrict_policy with an objective other than banditnet")
        return self

    @property
    def tunes_k(self) -> bool:
        """Whether the policy depends on k at all."""
        return self.objective == "banditnet" or self.support == "restrict_policy"
