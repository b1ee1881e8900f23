"""How far a dose may lie from the target's and still count: the bandwidth, and what it does to the value.

A wide kernel averages over doses the target would not give: bias, of the order h^2 for smooth rewards. A narrow one
leaves few rounds: variance. SLOPE (Su, Srinath and Krishnamurthy 2020) takes the widest bandwidth whose interval still
meets those of all narrower ones; ours takes half of it, since SLOPE balances bias with noise, and an interval needs the
bias to be small beside the noise. From two bandwidths the h^2 term can be measured, and taken off (Richardson).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.kinds.bandit.continuous.kernels import Kernel, kernel_weights
from worker.kinds.bandit.policies import Floats
from worker.kinds.bandit.selection.slope import slope
from worker.kinds.bandit.stepwise.gain import effective_units
from worker.kinds.bandit.stepwise.importance import Estimate, self_normalised
from worker.kinds.bandit.stepwise.target import Row, Setting
from worker.kinds.bandit.structures.doses import DoseLog

STEPS = 14
RATIO = 2**0.5
HALF = 2  # steps of the grid
LEAST_WORTH = 20.0  # effective rounds at the narrowest bandwidth that is tried


@dataclass(frozen=True)
class Path:
    """SNIPW along bandwidths, from narrow to wide; `chosen`: the index of the one taken, `rule`: why."""

    bandwidths: Floats
    rows: tuple[Row, ...]
    chosen: int
    rule: str

    @property
    def bandwidth(self) -> float:
        """The bandwidth taken."""
        return float(self.bandwidths[self.chosen])


def choose(log: DoseLog, target: Floats, kernel: Kernel, setting: Setting, fixed: float | None, largest: float) -> Path:
    """The bandwidth: `fixed`, or SLOPE's among those up to `largest` that leave enough rounds."""
    grid = largest / RATIO ** np.arange(STEPS)[::-1]
    if fixed is not None:
        grid = np.sort(np.append(grid[np.abs(np.log(grid / fixed)) > 0.1], fixed))
    weights = [kernel_weights(log.dose, target, log.density, h, kernel)[:, None] for h in grid]
    worth = np.array([float(effective_units(w)[0]) for w in weights])
    kept = [i for i in range(len(grid)) if worth[i] >= LEAST_WORTH or grid[i] == fixed] or [len(grid) - 1]
    rows = tuple(
        setting.row("snipw", "Kernel SNIPW", self_normalised(weights[i], log.reward[:, None]), weights[i]) for i in kept
    )
    if fixed is not None:
        return Path(grid[kept], rows, int(np.flatnonzero(grid[kept] == fixed)[0]), "the job asked for it")
    theta = np.array([row.value for row in rows])
    width = np.maximum.accumulate(np.array([(row.high - row.low) / 2 for row in rows])[::-1])[::-1]
    half = max(0, slope(theta, width / 2) - HALF)
    return Path(grid[kept], rows, half, f"half of SLOPE's among {len(kept)}, which looks at the rewards")


def without_square(narrow: Estimate, wide: Estimate, ratio: float = 2.0) -> Estimate:
    """The value at bandwidth 0 from two whose bandwidths differ by `ratio`, if bias goes with the square."""
    share = ratio**2 / (ratio**2 - 1)
    return Estimate(
        share * narrow.value - (share - 1) * wide.value, share * narrow.influence - (share - 1) * wide.influence
    )
