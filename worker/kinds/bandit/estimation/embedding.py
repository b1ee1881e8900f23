"""The discrete embedding of MIPS, SN-MIPS and MDR: one grouping of the actions, several at once, or those chosen.

An action has its category in every dimension for certain, p_d(e_d|a) is 0 or 1. The product over dimensions, taken
inside the sum over actions, is then 1 for the actions that share all categories: the marginal weight of several
dimensions is that of their joint groups.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from worker.contract.context import Context
from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.estimation.params import EstimateParams
from worker.kinds.bandit.estimation.prepare import Prepared
from worker.kinds.bandit.estimators import Estimator, Terms
from worker.kinds.bandit.estimators.group_ips import group_weight
from worker.kinds.bandit.estimators.importance import ips, snips
from worker.kinds.bandit.estimators.marginalized import select_embedding
from worker.kinds.bandit.policies import Floats, Policy
from worker.kinds.bandit.selection.slope import half_width, slope_pp

MOST_DIMENSIONS, MOST_VALUES = 16, 32
Labels = NDArray[np.int32]


@dataclass(frozen=True)
class Dimensions:
    """Ways to group actions: `labels` (D, A), each with a name."""

    names: tuple[str, ...]
    labels: Labels

    def joint(self, subset: tuple[int, ...]) -> Labels:
        """Group (A,) of actions that agree in some of the dimensions."""
        _, groups = np.unique(self.labels[list(subset)], axis=1, return_inverse=True)
        return groups.ravel().astype(np.int32)

    @cached_property
    def nested(self) -> bool:
        """Whether every dimension refines the one before it, as levels of a hierarchy do."""
        pairs = pairwise(range(len(self.names)))
        return all(self.joint((coarse, fine)).max() == self.joint((fine,)).max() for coarse, fine in pairs)


def dimensions_of(log: BanditLog) -> Dimensions | None:
    """The levels of the hierarchy; without one the columns of the embeddings, if few, that hold few whole numbers."""
    if log.hierarchy is not None:
        return Dimensions(tuple(f"level {level}" for level in range(1, len(log.hierarchy) + 1)), log.hierarchy)
    if log.embeddings is None:
        return None
    names: list[str] = []
    found: list[NDArray[np.intp]] = []
    for number, column in enumerate(log.embeddings.T, 1):
        values, codes = np.unique(column, return_inverse=True)
        if 2 <= len(values) <= min(MOST_VALUES, log.n_actions - 1) and np.all(values == np.floor(values)):
            names.append(f"column {number}")
            found.append(codes)
    if not 1 <= len(found) <= MOST_DIMENSIONS:
        return None
    return Dimensions(tuple(names), np.stack(found).astype(np.int32))


def embedding_of(
    prepared: Prepared, target: Policy, estimator: Estimator, plain: Terms, params: EstimateParams, ctx: Context
) -> tuple[Labels, str] | None:
    """Group of every action (A,), and which embedding that is; None where nothing says which actions are alike.

    Dimensions for MDR are chosen with MIPS, since its model would have to be fitted for every candidate.
    """
    log = prepared.log
    dimensions = None if params.mips_embedding == "finest" else dimensions_of(log)
    if dimensions is None:
        said = "tree" if log.hierarchy is None else f"level {len(log.hierarchy)}"
        return None if prepared.labels is None else (prepared.labels, said)
    kept = tuple(range(len(dimensions.names)))
    if params.mips_embedding == "selected":

        def weight_of(subset: tuple[int, ...]) -> Floats:
            ctx.progress(0, 1, phase="embedding")
            assert log.logging is not None  # noqa: S101 - the caller has looked
            return group_weight(log.logging, target, dimensions.joint(subset), log.action)

        form = snips if estimator.self_normalised else ips
        _, kept = select_embedding(
            plain, len(kept), weight_of, slope_pp, half_width=half_width, estimator=form, nested=dimensions.nested
        )
    return dimensions.joint(kept), " x ".join(dimensions.names[d] for d in kept)
