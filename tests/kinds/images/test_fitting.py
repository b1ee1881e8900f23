from __future__ import annotations

import numpy as np
import pytest
import torch

from worker.contract.context import Context
from worker.kinds.images.encoding import Encoding
from worker.kinds.images.fitting import Recipe, train
from worker.kinds.images.image_set import ImageSet, Loss
from worker.kinds.images.networks import build


@pytest.mark.parametrize(
    ("loss", "width", "rate"), [("mse", 64, 0.005), ("mse", 16, 0.01), ("cross-entropy", 64, 0.01)]
)
def test_wide_network_when_it_learns_a_squared_error_then_takes_steps_as_much_smaller_as_it_has_more_features(
    loss: Loss, width: int, rate: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates, sgd = list[float](), torch.optim.SGD
    monkeypatch.setattr(
        torch.optim, "SGD", lambda *given, lr, **more: (rates.append(lr), sgd(*given, lr=lr, **more))[1]
    )
    x = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), dtype=np.uint8)
    soft = np.eye(4, dtype=np.float32) - 0.25
    images = ImageSet(
        x, np.arange(4), Encoding(np.full(1, 0.5, np.float32), np.full(1, 0.25, np.float32)), 4, soft=soft, loss=loss
    )
    train(build("convnet", 1, 8, 4, seed=0, width=width), images, Recipe(steps=2, epochs=1), Context())
    assert rates == [rate]
