"""A log of slates: lists of items shown together, a row a position."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from worker.kinds.bandit.dataset import BanditLog
from worker.kinds.bandit.policies import Floats
from worker.kinds.bandit.structures.layout import Layout

PropensityOf = Literal["item", "item_alone", "prefix", "slate", "marginal"]


@dataclass(frozen=True)
class SlateLog:
    """`log`: its rows; `slate` (n,) int32: the slate of every row, from 0; `log.position` orders its rows from the top.

    `propensity_of`: what the propensity of a row is the probability of. `item`: the item, given those above it;
    `item_alone`: the same where positions are filled independently of each other; `prefix`: all items from the top
    down to this one (obp's pscore_cascade); `slate`: the whole slate (pscore); `marginal`: the item at its position
    whatever stands elsewhere (pscore_item_position).

    `chances`: by target policy, its probability of the same event at every row (n,). `users`: whether `log.user` holds
    users; else it holds the slates.
    """

    form: ClassVar[str] = "slates"
    unit: ClassVar[str] = "slate"
    units: ClassVar[str] = "slates"
    method: ClassVar[str] = "slate-estimate"

    log: BanditLog
    slate: NDArray[np.int32]
    propensity_of: PropensityOf = "item"
    chances: dict[str, Floats] = field(default_factory=dict[str, Floats])
    users: bool = False

    @cached_property
    def layout(self) -> Layout:
        """Rows by slate and position."""
        assert self.log.position is not None  # noqa: S101 - a log of slates has positions
        return Layout.of(self.slate, self.log.position)
