"""How what a summary stores becomes its images (parameterisations; IDC arXiv:2205.14959, LinBa arXiv:2206.02916).

`pixels`: an image is stored as it is. `multiform`: a canvas is cut in f x f tiles, each enlarged to a whole image, so
that it gives f * f images. `basis`: images are sums of shared bases, enlarged by a factor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class Decoder:
    """`factor`: tiles along a side of a canvas (multiform), or by how much bases are enlarged (basis)."""

    kind: Literal["pixels", "multiform", "basis"] = "pixels"
    factor: int = 1

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @property
    def times(self) -> int:
        """Images that one stored item gives."""
        return self.factor**2 if self.kind == "multiform" else 1

    def images(self, stored: Mapping[str, np.ndarray], shape: tuple[int, int, int]) -> np.ndarray:
        """Images float32 (m, c, h, w) of `stored`: `x`, and for a basis `coefficients` (m, K) of bases `x` (K, ...)."""
        x = stored["x"].astype(np.float32)
        if self.kind == "pixels":
            return x
        import torch  # which reading a summary does not need

        from worker.kinds.images.parameterisation import Basis, Multiform

        if self.kind == "multiform":
            return Multiform(self.factor).images({"x": torch.from_numpy(x)}).numpy()
        given = {
            "bases": torch.from_numpy(x),
            "coefficients": torch.from_numpy(stored["coefficients"].astype(np.float32)),
        }
        return Basis(len(x), shape[1:], self.factor).images(given).numpy()
