"""A learnt policy as a thing of its own: weights, a description, a numpy predictor, and a target for estimates.

    policy.json    shape of the model, how it was trained, how it was chosen, what it may not do
    weights.npz    float32 arrays: standardisation of contexts, layers, a vector and a bias for every action
    predict.py     probabilities for new contexts, needs numpy only

The same policy gives the same bytes: the archive carries a fixed time.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.deficiency import support_of_log
from worker.kinds.bandit.policies import BLOCK_BYTES, DenseTable, Policy, ScorerTable, SparseTable
from worker.kinds.bandit.remedies import restrict_actions
from worker.numerics.npz import write_npz
from worker.contract.errors import JobError

FORMAT = "distillery-bandit-policy"
VERSION = 1
WRITTEN_OUT = 64 * 2**20  # bytes up to which all probabilities of a log are computed once and kept

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


@dataclass(frozen=True)
class LearntPolicy:
    """A policy learnt from logs.

    `relu`: for every layer whether a ReLU follows. `weights`: float32 arrays `centre`, `scale` (d,), `layer<i>.weight`,
    `layer<i>.bias`, `actions` (A, h), `bias` (A,); a two-stage policy has those of its first stage as `first.<name>`.
    `candidates`: how many actions the first stage lets through, 0 without one. `restrict`: only supported actions may
    be taken, in serving too. `settings`: how it was trained and chosen, JSON.
    """

    relu: tuple[bool, ...]
    weights: dict[str, NDArray[np.float32]]
    candidates: int = 0
    restrict: bool = False
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    action_ids: NDArray[np.str_] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def n_actions(self) -> int:
        """Number of actions A."""
        return len(self.weights["bias"])

    @property
    def d(self) -> int:
        """Number of context features d."""
        return len(self.weights["centre"])

    def scorer(self, contexts: NDArray[np.floating], stage: str = "") -> ScorerTable:
        """The softmax of all actions on contexts (U, d); `stage` "first." for the first stage's."""
        h = ((contexts - self.weights["centre"]) * self.weights["scale"]).astype(np.float32)
        for number, relu in enumerate(self.relu):
            h = h @ self.weights[f"{stage}layer{number}.weight"].T + self.weights[f"{stage}layer{number}.bias"]
            h = np.maximum(h, 0) if relu else h
        vectors = self.weights[stage + "actions"]
        return ScorerTable(h, np.eye(vectors.shape[1], dtype=np.float32), vectors, self.weights[stage + "bias"])

    def policy_on(self, log: BanditLog) -> Policy:
        """The policy on a log's rounds: written out while that is small, else scored block by block.

        Raises `JobError` invalid_input for other contexts or actions, logging_policy_required when only supported
        actions may be taken and the log does not say which those are.
        """
        if log.n_actions != self.n_actions or log.contexts.shape[1] != self.d:
            raise JobError(
                "invalid_input",
                f"The policy is for {self.n_actions} actions and {self.d} context features; the log has "
                f"{log.n_actions} and {log.contexts.shape[1]}.",
                hint="Use a log with the columns that the policy was learnt from.",
            )
        scorer = self.scorer(log.contexts)
        small = scorer.n_rows * self.n_actions * 8 <= WRITTEN_OUT
        if self.candidates:
            policy = Policy(self._two_stage(log.contexts, scorer), log.context_index)
        elif small:
            policy = Policy(DenseTable(scorer.dense(np.arange(scorer.n_rows))), log.context_index)
        else:
            policy = Policy(scorer, log.context_index)
        if not self.restrict:
            return policy
        support = support_of_log(log)
        if support is None:
            raise JobError(
                "logging_policy_required",
                "This policy takes only actions that the logging policy may take, and the log does not say which.",
                hint="Upload the logging policy or its support.",
            )
        return restrict_actions(policy, support)

    def _two_stage(self, contexts: NDArray[np.floating], scorer: ScorerTable) -> SparseTable:
        first = self.scorer(contexts, "first.")
        chosen = np.empty((scorer.n_rows, self.candidates), np.int32)
        values = np.empty((scorer.n_rows, self.candidates))
        step = max(1, BLOCK_BYTES // (8 * self.n_actions))
        for start in range(0, scorer.n_rows, step):
            part = slice(start, min(start + step, scorer.n_rows))
            few = np.argpartition(-_scores(first, part), self.candidates - 1, axis=1)[:, : self.candidates]
            few.sort(axis=1)
            second = np.take_along_axis(_scores(scorer, part), few, axis=1)
            second = np.exp(second - second.max(axis=1, keepdims=True))
            chosen[part], values[part] = few, second / second.sum(axis=1, keepdims=True)
        pointers = np.arange(scorer.n_rows + 1) * self.candidates
        shape = (scorer.n_rows, self.n_actions)
        return SparseTable(sparse.csr_array((values.ravel(), chosen.ravel(), pointers), shape))

    def write(self, folder: Path) -> None:
        """Write all files into `folder`, which is made if need be."""
        folder.mkdir(parents=True, exist_ok=True)
        about = {
            "format": FORMAT,
            "version": VERSION,
            "n_actions": self.n_actions,
            "n_features": self.d,
            "relu": list(self.relu),
            "candidates": self.candidates,
            "restrict_actions": self.restrict,
            "settings": self.settings,
            "warnings": list(self.warnings),
        }
        text = json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        (folder / "policy.json").write_text(text + "\n", encoding="utf-8")
        (folder / "predict.py").write_text(PREDICTOR, encoding="utf-8")
        arrays: dict[str, NDArray[Any]] = dict(self.weights)
        if self.action_ids is not None:
            arrays["action_ids"] = self.action_ids
        write_npz(folder / "weights.npz", arrays)

    @classmethod
    def read(cls, folder: Path) -> LearntPolicy:
        """The policy back from its files. Raises `ValueError` for files that are not such a bundle."""
        about = json.loads((folder / "policy.json").read_text(encoding="utf-8"))
        if about.get("format") != FORMAT or about.get("version") != VERSION:
            raise ValueError(f"{folder} is not a learnt policy of this version")
        with np.load(folder / "weights.npz", allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return cls(
            relu=tuple(about["relu"]),
            action_ids=arrays.pop("action_ids", None),
            weights=arrays,
            candidates=about["candidates"],
            restrict=about["restrict_actions"],
            settings=about["settings"],
            warnings=tuple(about["warnings"]),
        )


def _scores(table: ScorerTable, part: slice) -> NDArray[np.float64]:
    scores = table.contexts[part] @ table.embeddings.T
    return (scores if table.bias is None else scores + table.bias).astype(np.float64)
