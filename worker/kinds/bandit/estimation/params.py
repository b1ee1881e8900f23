"""What a user may ask of an estimate: targets, estimators, smoothing, reward model, intervals."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

EstimatorName = Literal[
    "dm", "ips", "cips", "snips", "dr", "sndr", "switch", "dros", "sgips", "sgdr", "bipw", "mips", "snmips", "mdr",
    "offcem", "group_ips", "sim", "pc_ips", "pc_snips", "pc_dr", "pc_sndr", "pc_cips", "pc_switch", "pc_dros",
    "pc_sgips", "pc_sgdr",
]  # fmt: skip
TargetName = Annotated[str, Field(min_length=1, max_length=100)]


class GuardrailParams(BaseModel):
    """What is asked of one guardrail."""

    model_config = ConfigDict(extra="forbid")

    margin: float | None = Field(
        None,
        ge=0,
        description="Loss against the logging policy that is still accepted, in the unit of the guardrail; null: its "
        "gain is shown and nothing is decided.",
    )
    lower_is_better: bool = Field(False, description="Less of it is better: latency, complaints, cost.")
    r_min: float | None = Field(None, description="Least possible value; null: unknown, or 0 where all are 0 or 1.")
    r_max: float | None = Field(None, description="Largest possible value.")


class EstimateParams(BaseModel):
    """Parameters of `policy-convolution`."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    targets: list[TargetName] = Field(
        [],
        max_length=20,
        description="Policies to estimate: names of uploaded target policies, `uniform`, or `learnt` for the policy "
        "given as the input `policy`. Empty: every uploaded one and the learnt one.",
    )
    estimators: list[EstimatorName] = Field(
        ["snips", "dr", "pc_snips", "pc_sndr"],
        min_length=1,
        max_length=26,
        description="Estimators that stand beside the selected estimate in the table.",
    )
    convolution: Literal["auto", "kernel", "tree", "ball", "knn"] = Field(
        "auto",
        description="How near actions share probability; auto: tree with a hierarchy, else knn on the embeddings.",
    )
    tau_target: float | None = Field(
        None, ge=0, description="Smoothing of the target policy in the unit of the convolution; null: tuned."
    )
    tau_logging: float | None = Field(
        None, ge=0, description="Smoothing of the logging policy; null: tuned, or the same as tau_target."
    )
    selection: Literal["policy_ess", "k5", "slope", "slope_pp", "mse", "fixed"] = Field(
        "policy_ess", description="Rule that chooses the amount of smoothing."
    )
    path_switch: bool = Field(
        True, description="Let the whole smoothing path decide where it proves the embedding clean."
    )
    select_on: Literal["all", "half"] = Field(
        "all", description="half: choose the smoothing on one half of the rounds and estimate on the other."
    )
    normalize: Literal["mass", "mean"] = Field(
        "mass", description="mass: every action spreads its probability; mean: every action averages its neighbours'."
    )
    clip: float = Field(100.0, gt=0, le=1e9, description="Largest weight of `cips`.")
    lambdas: dict[EstimatorName, Annotated[float, Field(ge=0)] | Literal["tuned"]] = Field(
        {},
        alias="lambda",
        description="Hyper-parameter by estimator: cips, switch, dros, sgips, sgdr and their pc_ forms; from 0, or "
        "`tuned`: chosen from a grid by SLOPE++, which looks at the rewards.",
    )
    reward_model: Literal["auto", "ridge", "logistic", "per_action", "gbdt", "mlp", "none"] = Field(
        "auto",
        description="Model of the reward for dm, dr and sndr. auto: the least squared error on rounds left out among "
        "logistic (0/1 rewards) or ridge, per_action (coefficients of its own for every action) and gbdt (boosted "
        "trees), the last two where the log is small enough.",
    )
    offcem_model: Literal["one_step", "two_step"] = Field(
        "two_step",
        description="Model inside `offcem`. two_step: differences of rewards inside a cluster are fitted to pairs of "
        "rounds of one user (of one context without users), the rest to what remains; without such pairs one "
        "regression. one_step: the reward model.",
    )
    mips_embedding: Literal["finest", "hierarchy", "selected"] = Field(
        "finest",
        description="Groups of actions for mips, snmips and mdr. finest: the finest level of the hierarchy, else a cut "
        "tree of the embeddings; hierarchy: all levels at once, without a hierarchy all columns of the embeddings that "
        "hold few whole numbers; selected: those of them that SLOPE++ keeps, which looks at the rewards.",
    )
    folds: int = Field(3, ge=1, le=10, description="Folds of cross-fitting; 1 fits and predicts on the same rounds.")
    ci: Literal["floored", "normal", "student", "bootstrap", "bernstein", "hoeffding"] = Field(
        "floored", description="Kind of interval; floored is the normal one, never narrower than the policy ESS allows."
    )
    alpha: float = Field(0.05, ge=0.001, le=0.5, description="One minus the level of the intervals.")
    bootstrap: int = Field(1000, ge=100, le=10_000, description="Resamples of the bootstrap interval.")
    r_min: float | None = Field(None, description="Least possible reward; needed for bounds and some intervals.")
    r_max: float | None = Field(None, description="Largest possible reward.")
    w_max: float | None = Field(None, gt=0, description="Known bound on the weights, for hoeffding and bernstein.")
    cluster_by: Literal["auto", "round", "user"] = Field(
        "auto",
        description="What intervals, differences and the bootstrap take as independent. auto: users where the log has "
        "them, since rounds of a user go together, else rounds; round: every round, which the report records.",
    )
    gamma: float | None = Field(
        None,
        ge=1,
        le=10,
        description="A verdict must stand while true propensities differ from the logged ones by this factor; null: 1 "
        "where the logging policy is known or propensities were attested at upload, 1.05 for propensities alone, 1.1 "
        "for estimated ones. 1 attests that they were recorded as they were.",
    )
    margin: float | None = Field(
        None,
        ge=0,
        description="A loss against the logging policy, in the unit of the reward, that would still be accepted: a "
        "target whose gain is shown to lie above minus this is `not worse`. Null: only better and worse are told.",
    )
    guardrails: dict[str, GuardrailParams] = Field(
        {},
        max_length=20,
        description="Guardrails of the log by name, each with the loss that is accepted (`margin`). Uploaded ones that "
        "are left out are shown, and nothing is decided on them.",
    )
    interval: Literal["fixed", "anytime"] = Field(
        "fixed",
        description="fixed: gains and verdicts for one look at this many rounds. anytime: for whoever looks again as "
        "the log grows and stops when it pleases (confidence sequences); wider, needs declared ranges and takes rounds "
        "one by one. Guardrails follow; segments make no claims then.",
    )
    segments: list[str] | None = Field(
        None, max_length=20, description="Segments of the log to split the gain by; null: every uploaded one."
    )
    unsupported: Literal["ignore", "bounds", "extrapolate", "constant", "restrict"] = Field(
        "bounds",
        description="What to do about actions that the logging policy never takes. bounds: count them between the "
        "least and the largest reward; extrapolate: a model's reward; constant: the reward `k`; restrict: take "
        "them from the target, which then does more of the rest.",
    )
    k: float | None = Field(None, description="Reward of every unsupported action with unsupported=constant.")
    rounds: Literal["auto", "all", "test"] = Field(
        "auto", description="Rounds to estimate on; auto: held-out ones for a learnt policy, else all."
    )
    max_rounds: int | None = Field(
        None, ge=30, description="Estimate on this many rounds drawn at random; intervals widen accordingly."
    )
    round_values: bool = Field(False, description="Deliver every round's values as rounds.parquet.")
