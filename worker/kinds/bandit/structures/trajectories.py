"""A log of trajectories: decisions that follow on each other, where one changes what the next is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.policies import Floats
from worker.kinds.bandit.structures.layout import Layout


@dataclass(frozen=True)
class TrajectoryLog:
    """`log`: its rows, whose contexts are the states; `trajectory`, `step` (n,) int32: where a row stands.

    `chances`: by target policy given as a column, its probability of the logged action at every row (n,). `users`:
    whether `log.user` holds users; else it holds the trajectories.
    """

    form: ClassVar[str] = "trajectories"
    unit: ClassVar[str] = "trajectory"
    units: ClassVar[str] = "trajectories"
    method: ClassVar[str] = "sequential-estimate"

    log: BanditLog
    trajectory: NDArray[np.int32]
    step: NDArray[np.int32]
    chances: dict[str, Floats] = field(default_factory=dict[str, Floats])
    users: bool = False

    @cached_property
    def layout(self) -> Layout:
        """Rows by trajectory and step."""
        return Layout.of(self.trajectory, self.step)
