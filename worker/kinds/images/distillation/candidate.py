"""A summary of images while it is learned (`worker.evidence.distilling`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from worker.evidence.distilling import Words

WORDS = Words("distillation", "distil", "step", "images", "lr_img")
_STORED = "stored."


@dataclass(frozen=True)
class Candidate:
    """`stored`: what its form stores, by name; `y` int64 (S,) the class of each item; `soft` (S, C) learned targets or
    None; `rate`: the step size it was learned for, or None."""

    stored: dict[str, Tensor]
    y: Tensor
    soft: Tensor | None = None
    rate: float | None = None

    def arrays(self) -> dict[str, Tensor]:
        """Its tensors by name."""
        named = {f"{_STORED}{name}": one for name, one in self.stored.items()} | {"y": self.y}
        return named if self.soft is None else named | {"soft": self.soft}

    def facts(self) -> dict[str, Any]:
        """The step size."""
        return {"rate": self.rate}

    @classmethod
    def restored(cls, arrays: dict[str, Tensor], facts: Mapping[str, Any]) -> Candidate:
        """A candidate from its tensors and its step size."""
        stored = {name.removeprefix(_STORED): one for name, one in arrays.items() if name.startswith(_STORED)}
        return cls(stored, arrays["y"], arrays.get("soft"), facts["rate"])
