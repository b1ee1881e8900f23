"""A planted log of 600 decisions; 200 slates; 300 doses; 100 trajectories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.kinds.bandit import planted_doses, planted_slates, planted_trajectories
from tests.kinds.tiny import Tiny
from tests.planted_bandit import planted_files


def _upload(folder: Path) -> list[tuple[str, Path]]:
    return planted_files(folder)


def _loaded(product: Any) -> tuple[str, float]:
    if product.type == "policy":
        context = np.linspace(-1, 1, product.d, dtype=np.float32)[None, :]
        best = product.scorer(context).dense(np.array([0])).max()
        return f"import numpy, predict; print(predict.predict(numpy.array({context.tolist()})).max())", float(best)
    return "import load; print(load.rounds['round_weight'].sum())", float(product.log.round_weight.sum())


def _slates(folder: Path) -> list[tuple[str, Path]]:
    rng = np.random.default_rng(0)
    at = planted_slates.world(rng)
    policies = planted_slates.policies(rng, at, null=False)
    return planted_slates.upload(folder, planted_slates.draw(rng, at, *policies, 200))


def _doses(folder: Path) -> list[tuple[str, Path]]:
    rng = np.random.default_rng(0)
    at = planted_doses.world(rng)
    return planted_doses.upload(folder, planted_doses.draw(rng, at, at.best, 300))


def _trajectories(folder: Path) -> list[tuple[str, Path]]:
    rng = np.random.default_rng(0)
    at = planted_trajectories.world(rng)
    policies = planted_trajectories.policies(rng, at, null=False)
    return planted_trajectories.upload(folder, planted_trajectories.draw(rng, at, *policies, 100))


_RANGE = {"r_min": 0.0, "r_max": 1.0}
TINY = Tiny(
    _upload,
    _loaded,
    options=_RANGE,
    evaluate={"seeds": 2},
    others={
        "slate-estimate": Tiny(_slates, _loaded, _RANGE | {"structure": "slates", "propensity_of": "item_alone"}),
        "continuous-estimate": Tiny(_doses, _loaded, _RANGE | {"structure": "doses"}),
        "sequential-estimate": Tiny(_trajectories, _loaded, _RANGE | {"structure": "trajectories"}),
    },
)
