"""What it costs to decide at the first stage: the regret of its favourite, and how far both stages order runs alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Decision:
    """`regret`: what the run that is best at the first stage loses at the second against the best one there, in units
    of the metric, never negative; `regret_share`: of the distance between the best and the worst run there. `top_1`,
    `top_3`: share of the best (three) runs at the first stage that are among as many best at the second. `pairwise`:
    share of pairs of runs that both stages order alike, a tie at one stage counting half, (tau-a + 1) / 2.
    """

    favourite: int
    best: int
    regret: float
    regret_share: float
    top_1: float
    top_3: float
    pairwise: float


def decide(first: np.ndarray, second: np.ndarray, *, higher_is_better: bool = True) -> Decision | None:
    """The decision by one benchmark; None when a stage does not tell runs apart.

    `first`, `second`: (M,) scores of the same runs. Of runs tied for best at the first stage one is picked at random:
    regret and agreement are the mean over them.
    """
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    a, b = (first, second) if higher_is_better else (-first, -second)
    picked = b[a == a.max()]
    regret = float(b.max() - picked.mean())
    order = np.sign(np.subtract.outer(a, a)) * np.sign(np.subtract.outer(b, b))
    pairs = len(a) * (len(a) - 1)
    return Decision(
        favourite=int(np.argmax(a)),
        best=int(np.argmax(b)),
        regret=regret,
        regret_share=regret / float(np.ptp(b)),
        top_1=_agreement(a, b, 1),
        top_3=_agreement(a, b, 3),
        pairwise=float((order.sum() / pairs + 1) / 2),
    )


def _agreement(a: np.ndarray, b: np.ndarray, top: int) -> float:
    """Share of the best `top` of a that are among the best `top` of b, ties at the edge sharing the places left."""
    top = min(top, len(a))
    return float((_places(a, top) * _places(b, top)).sum() / top)


def _places(x: np.ndarray, top: int) -> np.ndarray:
    """The chance of each run (M,) to be among the best `top` when ties are broken at random."""
    edge = np.sort(x)[-top]
    above = x > edge
    return above + (x == edge) * (top - above.sum()) / (x == edge).sum()
