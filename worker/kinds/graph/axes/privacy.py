"""A membership attack: can one tell from a network's confidence which nodes it was trained for?

p_i is the probability of the TRUE class of node i. The attack's accuracy is the largest over thresholds t of
(P_train(p >= t) + 1 - P_test(p >= t)) / 2, at least one half. Members are the original train nodes, others the test
nodes. It is one attack: that it fails is no guarantee of privacy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from worker.evidence.measurements import PrivacyRow
from worker.kinds.graph import copies, large
from worker.kinds.graph.dataset import TRAIN, Graph
from worker.kinds.graph.held import Held
from worker.kinds.graph.networks.fitting import Fitted
from worker.kinds.graph.summary import CondensedGraph

NOTE = "One attack by a threshold on confidence; that it fails guarantees nothing."
_RESAMPLES = 200


def attack_accuracy(members: np.ndarray, others: np.ndarray) -> float:
    """The accuracy of the best threshold between confidences of members (m,) and of others (k,), in [0.5, 1]."""
    thresholds = np.unique(np.concatenate([members, others]))
    caught = 1 - np.searchsorted(np.sort(members), thresholds) / len(members)
    wrong = 1 - np.searchsorted(np.sort(others), thresholds) / len(others)
    return float(max(0.5, 0.5 * (caught + 1 - wrong).max()))


def confidences(model: Fitted, held: Held) -> np.ndarray:
    """Probability of the true class of each held node, float64 (m,)."""
    logits = model.logits(held).astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    p = np.exp(logits)
    return p[np.arange(len(p)), held.y] / p.sum(axis=1)


def rows(data: Graph, models: Sequence[tuple[str, Fitted]], test: Held, seed: int) -> tuple[PrivacyRow, ...]:
    """The attack on every model, with a bootstrap interval over the nodes."""
    train = large.held(data, TRAIN, 0, seed)
    found = []
    for label, model in models:
        inside, outside = confidences(model, train), confidences(model, test)
        rng = np.random.default_rng([seed, 21])
        drawn = [
            attack_accuracy(rng.choice(inside, len(inside)), rng.choice(outside, len(outside)))
            for _ in range(_RESAMPLES)
        ]
        low, high = np.quantile(drawn, (0.025, 0.975))
        value = attack_accuracy(inside, outside)
        found.append(
            PrivacyRow(
                f"membership attack on {label}: accuracy (0.5 is guessing)", value, "ratio",
                len(inside) + len(outside), NOTE, min(float(low), value), max(float(high), value),
            )
        )  # fmt: skip
    return tuple(found)


def warnings(data: Graph, summary: CondensedGraph) -> list[str]:
    """What must be said beside the attack."""
    return [
        "The membership attack is an empirical test of one attack, and no guarantee of privacy.",
        *copies.said(data, summary),
    ]
