"""Numbers of any type as pixels: 8 bit as they are, 16 bit by their upper half, floats of 0 to 1 or of 0 to 255.

What 1 or 300 stands for, all numbers of an array or a table decide together: one that comes in pieces is looked through
before the first piece becomes pixels, lest a dark piece be read by another rule than the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from worker.contract.errors import JobError
from worker.kinds.images.upload.piece import refuse

_ROUNDING = 1e-6
"""How far floats of 0 to 1 may be outside, as arithmetic leaves them."""


def speak_for_themselves(dtype: np.dtype) -> bool:
    """Whether numbers of a type need no look at the rest: bytes, and yes or no."""
    return dtype == np.uint8 or dtype.kind == "b"


@dataclass
class Scale:
    """What the numbers of an array, or of the pixels of a table, stand for. `name`: what a refusal calls it."""

    name: str
    low: float = math.inf
    high: float = -math.inf
    whole: bool = True
    _outside: dict[str, int] = field(default_factory=dict[str, int])  # the first image below 0, and above 255

    def look(self, raw: np.ndarray, start: int) -> None:
        """Take images (b, ...) into account, the first of which is number `start`. Raises `JobError` for NaN."""
        if raw.dtype.kind not in "iuf":
            raise refuse(f"The images {self.name} are {raw.dtype}.", "Save them as uint8.")
        if not raw.size:
            return
        if raw.dtype.kind == "f":
            wrong = ~np.isfinite(raw)
            if wrong.any():
                raise refuse(
                    f"{self.name}[{start + _first(wrong)}] holds NaN or infinity.",
                    "Replace them, or leave the image out.",
                )
            self.whole = self.whole and bool((raw == np.rint(raw)).all())
        low, high = raw.min().item(), raw.max().item()
        for side, beyond in (("low", low < -_ROUNDING), ("high", high > 255)):
            if beyond and side not in self._outside:
                self._outside[side] = start + _first(raw < -_ROUNDING if side == "low" else raw > 255)
        self.low, self.high = min(self.low, low), max(self.high, high)

    def pixels(self, raw: np.ndarray) -> np.ndarray:
        """Numbers as uint8, once all were looked at. Raises `JobError` where they have no range that is known."""
        if raw.dtype == np.uint8:
            return raw
        if raw.dtype.kind == "b":
            return raw.astype(np.uint8) * 255
        if raw.dtype == np.uint16 and self.high > 255:
            return ((raw.astype(np.uint32) + 128) // 257).astype(np.uint8)
        if raw.dtype.kind != "f":
            if self._outside:
                raise self._refusal()
            return raw.astype(np.uint8)
        if self.high <= 1 + _ROUNDING and "low" not in self._outside:
            return np.rint(np.clip(raw, 0, 1) * 255.0).astype(np.uint8)
        if self._outside or (self.high < 2 and not self.whole):  # of 0 to 255 these would be all but black
            raise self._refusal()
        return np.rint(np.clip(raw, 0, 255)).astype(np.uint8)

    def _refusal(self) -> JobError:
        at = self._outside.get("low", self._outside.get("high"))
        where = "" if at is None else f", first at {self.name}[{at}]"
        return refuse(
            f"The numbers of {self.name} reach from {self.low:.4g} to {self.high:.4g}{where}.",
            "Save pixels of 0 to 255, or floats of 0 to 1 in all images, clipped where they go beyond; standardise "
            "later, in training.",
        )


def _first(wrong: np.ndarray) -> int:
    """The first image (b, ...) with something wrong."""
    return int(wrong.reshape(len(wrong), -1).any(axis=1).argmax())
