"""What a user may say of an uploaded log; everything left out is guessed from names and shown."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from worker.ingest.options import ColumnMap, Listed, Maybe, ReadOptions, column_map
from worker.ingest.table import Schema
from worker.kinds.bandit.structures.slates import PropensityOf
from worker.kinds.bandit.upload.roles import CLASSES, LOGS, RATINGS


class IngestOptions(ReadOptions):
    """How an uploaded log of decisions becomes a dataset version."""

    contents: Literal["log", "policies"] = Field(
        "log",
        description="policies: the upload is target policies alone, one a file, to be given to estimates of a log that "
        "was uploaded before (input `targets`); a policy has the file's name.",
    )
    columns: ColumnMap = column_map(
        *LOGS.values(), RATINGS, CLASSES, example='{"action": "banner", "propensity": "prob"}'
    )
    structure: Literal["rounds", "slates", "trajectories", "doses"] = Field(
        "rounds",
        description="What a row of the log is. rounds: a decision of its own; slates: one position of a slate, with "
        "columns slate and position (`slate-estimate`); trajectories: a step of a trajectory, with columns trajectory "
        "and step (`sequential-estimate`); doses: a number that was done, with columns dose and density "
        "(`continuous-estimate`).",
    )
    propensity_of: PropensityOf = Field(
        "item",
        description="With structure=slates, what the propensity of a row is the probability of. item: the item, given "
        "those above it; item_alone: the same, and positions are filled independently of each other; prefix: all items "
        "from the top down to it; slate: the whole slate; marginal: the item at its position, whatever stands "
        "elsewhere. Columns target_probability_NAME hold the target's probability of the same.",
    )
    context_columns: Listed[str] = Field(
        default_factory=list,
        max_length=1000,
        description="Columns that describe the context, as names or patterns such as `user_feature_*`; empty: "
        "context*, user_feature*, user-item_affinity*, feature_*, x_*.",
    )
    categorical_columns: Listed[str] = Field(
        default_factory=list,
        max_length=1000,
        description="Context columns of numbers that are names of categories, as names or patterns.",
    )
    guardrails: Listed[str] = Field(
        default_factory=list,
        max_length=20,
        description="Columns of further rewards of the same rounds (revenue, complaints, latency), kept beside the "
        "reward; an estimate says of each whether it holds.",
    )
    segments: Listed[str] = Field(
        default_factory=list,
        max_length=20,
        description="Columns of categories (country, device, kind of user) by which an estimate splits its gain; they "
        "may describe the context, too.",
    )
    max_categories: int = Field(
        64, ge=0, le=4096, description="A categorical column of at most this many values is one-hot; others are hashed."
    )
    hash_columns: int = Field(32, ge=1, le=4096, description="Columns that the values of a hashed category fall into.")
    n_actions: Maybe[int] = Field(
        None,
        ge=1,
        le=10_000_000,
        description="Number of actions when ids are positions 0..n_actions-1; null: those seen.",
    )
    reward_is_cost: bool = Field(False, description="The reward column holds costs: its sign is turned.")
    r_min: Maybe[float] = Field(None, description="Smallest reward there can be; needed by intervals with guarantees.")
    r_max: Maybe[float] = Field(None, description="Largest reward there can be.")
    estimate_propensity: bool = Field(
        False,
        description="Where the log has no propensities, estimate them by a logistic model of the action given the "
        "context. Every report then says so.",
    )
    attest_propensities: bool = Field(
        False,
        description="You attest that the server that drew each action recorded its propensity then. Verdicts from "
        "propensities alone then need not stand a factor by which they may be off, and every report says so.",
    )
    renormalise: bool = Field(False, description="Rescale policies whose probabilities do not sum to one, not refuse.")
    logging_builtin: Literal["", "uniform"] = Field(
        "", description="Declare the logging policy instead of uploading it: uniform over all actions."
    )
    builtin_targets: Listed[Literal["uniform"]] = Field(
        default_factory=list, max_length=1, description="Target policies that need no upload: uniform."
    )
    score_policy: Literal["softmax", "epsilon_greedy", "argmax"] = Field(
        "softmax", description="How uploaded target_scores become a policy."
    )
    temperature: float = Field(
        1.0, gt=0, le=1000, description="Temperature of score_policy softmax, on scores standardised within each row."
    )
    epsilon: float = Field(0.05, ge=0, le=1, description="Share of random actions of score_policy epsilon_greedy.")
    position: Literal["pooled", "context"] = Field(
        "pooled", description="pooled: keep positions beside the log; context: they are also part of the context."
    )
    only_position: Maybe[int] = Field(None, description="Keep only the rounds shown at this position; null: all.")
    split: str = Field(
        "random",
        pattern=r"^(random|time|none|column:.+)$",
        description="What is held out: random (whole users where there are users, 70/10/20 train, validation, test), "
        "time (the same shares in order of time), none (everything is train), or column:NAME.",
    )
    split_in_time: bool = Field(
        False, description="With column:NAME, refuse a split whose training rounds are later than its test rounds."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of the split and of simulations.")
    simulate: Literal["", "popularity", "factors"] = Field(
        "",
        description="The upload is interactions (user, item, rating): build a semi-synthetic log with a logging "
        "policy softmax(beta * score), the score being the popularity of items or a factor model of the ratings.",
    )
    multiclass_to_bandit: Literal["", "mixture", "softmax"] = Field(
        "",
        description="The upload is a classified table (label, features): classes are actions and the right one pays "
        "1. Logging policy: mixture (alpha on a classifier's choice, the rest uniform) or softmax(beta * its scores).",
    )
    simulated_rounds: int = Field(10_000, ge=30, le=10_000_000, description="Rounds of a simulated log.")
    simulated_actions: int = Field(2_000, ge=2, le=100_000, description="Most popular items to keep as actions.")
    simulated_rewards: Literal["imputed", "observed"] = Field(
        "imputed",
        description="imputed: 0/1 rewards drawn from a factor model of the ratings; observed: the rating itself, 0 "
        "for items without one.",
    )
    simulated_beta: Maybe[float] = Field(
        None,
        ge=-1000,
        le=1000,
        description="Inverse temperature of a simulated logging policy; negative: it prefers what is worse. Null: 1 "
        "for popularity and classes, -4 for factors.",
    )
    simulated_alpha: float = Field(0.8, ge=0, le=1, description="Weight of the classifier's choice in mixture.")
    simulated_threshold: float = Field(
        0.0, ge=0, lt=1, description="Logging probabilities up to this become 0: deficient support."
    )
    simulated_target: float = Field(
        0.05, ge=0, le=1, description="Epsilon of the epsilon-greedy target policy that comes with a simulation."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> IngestOptions:
        if self.simulate and self.multiclass_to_bandit:
            raise ValueError("simulate and multiclass_to_bandit exclude each other")
        if self.attest_propensities and self.estimate_propensity:
            raise ValueError("attest_propensities and estimate_propensity exclude each other")
        if self.contents == "policies" and (self.simulate or self.multiclass_to_bandit):
            raise ValueError("policies alone are no log that could be simulated from")
        if self.structure != "rounds" and (self.simulate or self.multiclass_to_bandit):
            raise ValueError("a simulated log has structure rounds")
        if self.structure != "rounds" and (self.guardrails or self.segments or self.contents == "policies"):
            raise ValueError("guardrails, segments and policies alone belong to structure rounds")
        if self.structure == "doses" and (self.estimate_propensity or self.logging_builtin or self.builtin_targets):
            raise ValueError("densities of doses are uploaded; nothing estimates or declares them")
        if self.structure != "rounds" and self.only_position is not None:
            raise ValueError("only_position takes single rounds; use it with structure rounds")
        if self.r_min is not None and self.r_max is not None and self.r_min >= self.r_max:
            raise ValueError("r_min must be below r_max")
        return self

    @property
    def log_schema(self) -> Schema:
        """The table that the log is."""
        return LOGS[self.structure]
