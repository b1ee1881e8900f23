"""What a bandit job delivers: a learnt policy, or rounds that stand for a log.

A learnt policy:

    policy.json    shape of the model, where it comes from, how it was chosen, what it may not do
    weights.npz    float32 arrays: standardisation of contexts, layers, a vector and a bias for every action
    predict.py     probabilities for new contexts, needs numpy only

Rounds:

    rounds.parquet   action, reward, propensity, round_weight[, user, position, timestamp], context_0, context_1, ...
    load.py          a loader that needs pyarrow and numpy only
    summary.json     where the rounds come from
    dataset/         the same rounds as canonical files of a dataset version, policies included

The same product gives the same bytes: archives carry a fixed time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from worker.contract.budget import resolve
from worker.contract.context import Context
from worker.contract.product import Origin, Product
from worker.kinds.bandit import canonical
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.learning.softmax_policy import Choice, SoftmaxPolicy
from worker.kinds.bandit.rounds.coresets import Pick
from worker.numerics.npz import write_npz

if TYPE_CHECKING:
    from worker.evidence.findings import Findings
    from worker.kinds.bandit.judge import EvaluateParams

POLICY_FORMAT, ROUNDS_FORMAT = "distillery-bandit-policy", "distillery-rounds"
VERSION = 2
BYTES_PER_ROUND = 28  # action, reward, propensity, weight; the context comes on top

PREDICTOR = '''"""Probabilities of this policy: `predict(contexts)` is (m, A) for contexts (m, d). Needs numpy only."""
import json
import pathlib

import numpy as np

here = pathlib.Path(__file__).resolve().parent
spec = json.loads((here / "policy.json").read_text(encoding="utf-8"))
with np.load(here / "weights.npz", allow_pickle=False) as stored:
    weights = {name: stored[name] for name in stored.files}


def scores(contexts, stage=""):
    h = ((np.asarray(contexts, np.float32) - weights["centre"]) * weights["scale"]).astype(np.float32)
    for number, relu in enumerate(spec["relu"]):
        h = h @ weights[f"{stage}layer{number}.weight"].T + weights[f"{stage}layer{number}.bias"]
        h = np.maximum(h, 0) if relu else h
    return (h @ weights[stage + "actions"].T + weights[stage + "bias"]).astype(np.float64)


def predict(contexts, supported=None):
    """`supported` (m, A) bool: the actions that may be taken; needed where the policy was learnt with that rule."""
    s = scores(contexts)
    if spec["candidates"]:
        first = scores(contexts, "first.")
        few = np.argpartition(-first, spec["candidates"] - 1, axis=1)[:, : spec["candidates"]]
        allowed = np.zeros(s.shape, bool)
        np.put_along_axis(allowed, few, True, axis=1)
        s = np.where(allowed, s, -np.inf)
    if spec["restrict_actions"]:
        if supported is None:
            raise ValueError("this policy takes only actions of the logging policy's support: pass `supported`")
        s = np.where(supported, s, -np.inf)
    s = np.exp(s - s.max(axis=1, keepdims=True))
    return s / s.sum(axis=1, keepdims=True)
'''

LOADER = '''"""Load this summary: `rounds` has an array per column; means over rounds are weighted by `round_weight`."""
import pathlib
from pyarrow import parquet

table = parquet.read_table(pathlib.Path(__file__).resolve().parent / "rounds.parquet")
rounds = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}


def value(pi_a):
    """SNIPS estimate of a policy that gives the logged actions the probabilities `pi_a`."""
    w = rounds["round_weight"] * pi_a / rounds["propensity"]
    return float((w * rounds["reward"]).sum() / w.sum())
'''


@dataclass(frozen=True)
class LearntPolicy(SoftmaxPolicy, Product):
    """A policy learnt from logs; its fields are those of `SoftmaxPolicy`."""

    type: ClassVar[str] = "policy"

    def write(self, folder: Path, data: BanditLog) -> None:
        """Write `policy.json`, `weights.npz` and `predict.py`."""
        about = {
            "n_actions": self.n_actions,
            "n_features": self.d,
            "relu": list(self.relu),
            "candidates": self.candidates,
            "restrict_actions": self.restrict,
            "choice": self.choice.to_json(),
        }
        _write_about(folder / "policy.json", POLICY_FORMAT, about, self)
        (folder / "predict.py").write_text(PREDICTOR, encoding="utf-8")
        arrays: dict[str, NDArray[Any]] = dict(self.weights)
        if self.action_ids is not None:
            arrays["action_ids"] = self.action_ids
        write_npz(folder / "weights.npz", arrays)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The policy back from its files. Raises `ValueError` for files that are not a policy of this version."""
        about = _read_about(folder / "policy.json", POLICY_FORMAT)
        with np.load(folder / "weights.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return cls(
            relu=tuple(about["relu"]),
            action_ids=arrays.pop("action_ids", None),
            weights=arrays,
            candidates=about["candidates"],
            restrict=about["restrict_actions"],
            choice=Choice.from_json(about["choice"]),
            origin=Origin.from_json(about["origin"]),
            warnings=tuple(about["warnings"]),
        )

    def judge(self, data: BanditLog, params: EvaluateParams, ctx: Context) -> Findings:
        """Estimate what it earns on held-out rounds, beside the logging policy and policies that learn nothing."""
        # Learning needs torch, which loading a dataset does not.
        from worker.kinds.bandit.judge import judge_policy

        return judge_policy(data, self, params, ctx)


@dataclass(frozen=True)
class RoundsSummary(Product):
    """Some rounds of a log, as a log of their own: `log.weight` (m,) says how many rounds each one stands for."""

    type: ClassVar[str] = "rounds"

    log: BanditLog
    origin: Origin = field(default_factory=Origin)
    warnings: tuple[str, ...] = ()

    @classmethod
    def picked(cls, train: BanditLog, pick: Pick, origin: Origin) -> Self:
        """The summary made of a pick among the training rounds; weights of rounds that stood for several multiply."""
        rounds, omega = pick
        kept = train.take(rounds)
        kept = replace(kept, weight=omega * kept.round_weight, split=np.zeros(len(rounds), np.int8))
        return cls(kept, origin)

    def write(self, folder: Path, data: BanditLog) -> None:
        """Write `rounds.parquet`, `load.py`, `summary.json` and `dataset/`."""
        parquet.write_table(_table(self.log), folder / "rounds.parquet", compression="zstd")
        (folder / "load.py").write_text(LOADER, encoding="utf-8")
        _write_about(folder / "summary.json", ROUNDS_FORMAT, {}, self)
        (folder / "dataset").mkdir()
        canonical.write(self.log, folder / "dataset")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The rounds back from their files. Raises `ValueError` for files that are not rounds of this version."""
        about = _read_about(folder / "summary.json", ROUNDS_FORMAT)
        return cls(canonical.load(folder / "dataset"), Origin.from_json(about["origin"]), tuple(about["warnings"]))

    def judge(self, data: BanditLog, params: EvaluateParams, ctx: Context) -> Findings:
        """Compare estimates and learnt policies with those of all training rounds and of cheap picks."""
        # Learning needs torch, which loading a dataset does not.
        from worker.kinds.bandit.judge import judge_rounds

        return judge_rounds(data, self.log, self.warnings, params, ctx)


def rounds_in_budget(train: BanditLog, budget: int | str) -> int:
    """A budget as a number of rounds."""
    return resolve(budget, total_units=train.n, bytes_per_unit=BYTES_PER_ROUND + 4 * train.contexts.shape[1])


def _write_about(path: Path, form: str, about: Mapping[str, Any], product: Product) -> None:
    named = {"format": form, "version": VERSION, "origin": product.origin.to_json(), "warnings": [*product.warnings]}
    text = json.dumps({**named, **about}, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _read_about(path: Path, form: str) -> dict[str, Any]:
    about = json.loads(path.read_text(encoding="utf-8"))
    if about.get("format") != form or about.get("version") != VERSION:
        raise ValueError(f"{path} does not describe {form}, version {VERSION}")
    return about


def _table(log: BanditLog) -> Any:  # pyarrow ships no types
    ids = log.action if log.action_ids is None else log.action_ids[log.action]
    columns: dict[str, Any] = {
        "action": pa.array(ids.tolist()),
        "reward": log.reward,
        "propensity": log.propensity,
        "round_weight": log.round_weight,
    }
    for name in ("user", "position", "timestamp"):
        if (values := getattr(log, name)) is not None:
            columns[name] = values
    columns |= {f"context_{number}": column for number, column in enumerate(log.x.T)}
    return pa.table(columns)
