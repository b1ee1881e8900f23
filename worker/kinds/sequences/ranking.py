"""How well a model ranks what came next: over all items, never over a sample of them.

    rank = 1 + #{items with a higher score} + #{other items with the same score} / 2

Items of the context are left out, unless `seen` says otherwise, but for the target itself. Hit rate at k is whether
rank <= k, nDCG at k is 1 / log2(1 + rank) if so, MRR is 1 / rank; each per case. Scores that are not finite are
refused: comparisons with NaN are false, which would rank the target first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from worker.contract.errors import JobError
from worker.kinds.sequences.dataset import Cases
from worker.kinds.sequences.models import Model
from worker.kinds.sequences.rows import Rows

_CELLS = 4_000_000  # scores held at once


def ranks(scores: np.ndarray, targets: np.ndarray, contexts: Rows | None = None) -> np.ndarray:
    """Rank (q,) of each target among scores (q, V); `contexts`: what was seen before and does not compete.

    Raises `JobError` `diverged` for scores that are not finite.
    """
    if not np.isfinite(scores).all():
        raise JobError("diverged", "The learner's scores are not finite.", hint="Leave this learner out.")
    rows = np.arange(len(targets))
    target = scores[rows, targets][:, None]
    above, equal = scores > target, scores == target
    equal[rows, targets] = False
    if contexts is not None:
        owner = contexts.owners()
        above[owner, contexts.items] = False
        equal[owner, contexts.items] = False
    return 1 + above.sum(axis=1) + 0.5 * equal.sum(axis=1)


def metrics_of(rank: np.ndarray, ks: Sequence[int]) -> dict[str, np.ndarray]:
    """`hr@k`, `ndcg@k` for every k, and `mrr`, each float64 (q,)."""
    found: dict[str, np.ndarray] = {}
    for k in ks:
        hit = rank <= k
        found[f"ndcg@{k}"] = np.where(hit, 1 / np.log2(1 + rank), 0.0)
        found[f"hr@{k}"] = hit.astype(np.float64)
    return found | {"mrr": 1 / rank}


@dataclass(frozen=True)
class Ranking:
    """Cases to rank, and up to which places. `seen`: whether items of the context compete, too."""

    cases: Cases
    ks: tuple[int, ...]
    items: int
    seen: bool = False

    def __call__(self, model: Model) -> Mapping[str, np.ndarray]:
        """Every metric of every case."""
        return metrics_of(self.ranks(model), self.ks)

    def ranks(self, model: Model) -> np.ndarray:
        """The rank of every target (q,)."""
        size = max(1, _CELLS // max(1, self.items))
        found = [np.zeros(0)]
        for start in range(0, len(self.cases), size):
            part = self.cases.take(np.arange(start, min(start + size, len(self.cases))))
            scores = model.scores(part.contexts)
            found.append(ranks(scores, part.targets, None if self.seen else part.contexts))
        return np.concatenate(found)
