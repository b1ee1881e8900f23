"""A log of doses: what was done is a number (a dose, a bid, a price), drawn from a density."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from worker.kinds.bandit.policies import Floats


@dataclass(frozen=True)
class DoseLog:
    """n rounds. `dose`, `reward`, `density` (n,): what was done, what came of it, the logging policy's density of it.

    `x` (n, d) float32: contexts. `doses`: by deterministic target, what it would have done (n,); `densities`: by target
    that draws, its density at the logged dose (n,). `user` (n,) int32: rounds of one user belong together.
    """

    form: ClassVar[str] = "doses"
    unit: ClassVar[str] = "round"
    units: ClassVar[str] = "doses"
    method: ClassVar[str] = "continuous-estimate"

    dose: Floats
    reward: Floats
    density: Floats
    x: NDArray[np.float32]
    doses: dict[str, Floats] = field(default_factory=dict[str, Floats])
    densities: dict[str, Floats] = field(default_factory=dict[str, Floats])
    user: NDArray[np.int32] | None = None
    reward_range: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Number of rounds."""
        return len(self.dose)
