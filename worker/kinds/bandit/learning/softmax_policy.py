"""A softmax policy as plain arrays: what learning makes, what is delivered, and what estimates take as a target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from worker.contract.errors import JobError
from worker.contract.product import Origin
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.deficiency import support_of_log
from worker.kinds.bandit.policies import BLOCK_BYTES, DenseTable, Policy, ScorerTable, SparseTable
from worker.kinds.bandit.remedies import restrict_actions

WRITTEN_OUT = 64 * 2**20  # bytes up to which all probabilities of a log are computed once and kept


@dataclass(frozen=True)
class Tried:
    """One policy that was trained, with what chose among them, all on validation rounds.

    `scores`: by selector; None where a score is no finite number. `mean_weight`: the mean importance weight.
    `unsupported`: mass on actions the logging policy never takes, None where its support is unknown. `sharpened`: the
    factor its scores were multiplied by after training.
    """

    name: str
    k: float
    seed: int
    scores: Mapping[str, float | None]
    mean_weight: float
    unsupported: float | None
    sharpened: float = 1.0


@dataclass(frozen=True)
class Choice:
    """How the delivered policy was chosen: the selector, every policy that was tried, and on how many rounds.

    `chosen`: name of the delivered one. `k0`: value of the rarest supported actions, which MinSup compares with.
    """

    selector: str = ""
    chosen: str = ""
    tried: tuple[Tried, ...] = ()
    train_rounds: int = 0
    validation_rounds: int = 0
    k0: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Choice:
        """Back from its JSON."""
        return cls(**{**stored, "tried": tuple(Tried(**one) for one in stored["tried"])})


@dataclass(frozen=True)
class SoftmaxPolicy:
    """pi(a|x) = softmax(h(x) . v_a + b_a), learnt from logs.

    `relu`: for every layer whether a ReLU follows. `weights`: float32 arrays `centre`, `scale` (d,), `layer<i>.weight`,
    `layer<i>.bias`, `actions` (A, h), `bias` (A,); a two-stage policy has those of its first stage as `first.<name>`.
    `candidates`: how many actions the first stage lets through, 0 without one. `restrict`: only supported actions may
    be taken, in serving too. `action_ids` (A,): the user's own. `origin` and `choice`: how it was trained and chosen.
    """

    relu: tuple[bool, ...]
    weights: dict[str, NDArray[np.float32]]
    candidates: int = 0
    restrict: bool = False
    action_ids: NDArray[np.str_] | None = None
    choice: Choice = Choice()
    origin: Origin = field(default_factory=Origin)
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


def _scores(table: ScorerTable, part: slice) -> NDArray[np.float64]:
    scores = table.contexts[part] @ table.embeddings.T
    return (scores if table.bias is None else scores + table.bias).astype(np.float64)
