"""A condensed graph while it is learned (`worker.evidence.distilling`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from worker.evidence.distilling import Words

WORDS = Words("condensation", "condense", "epoch", "nodes", "lr_feat")


@dataclass(frozen=True)
class Candidate:
    """`x` (n, d), `y` int64 (n,), `adjacency` (n, n) symmetric with zero diagonal or None for none, `soft` (n, C) label
    probabilities or None."""

    x: Tensor
    y: Tensor
    adjacency: Tensor | None = None
    soft: Tensor | None = None

    def arrays(self) -> dict[str, Tensor]:
        """Those of its tensors that there are."""
        named = {"x": self.x, "y": self.y, "adjacency": self.adjacency, "soft": self.soft}
        return {name: value for name, value in named.items() if value is not None}

    def facts(self) -> dict[str, Any]:
        """Nothing beside tensors."""
        return {}

    @classmethod
    def restored(cls, arrays: dict[str, Tensor], facts: Mapping[str, Any]) -> Candidate:
        """A candidate from its tensors."""
        return cls(**arrays)
