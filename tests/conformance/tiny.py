"""The tiny dataset of each kind that every method must manage with its defaults, and how its bundles are read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.planted import planted_csv
from tests.planted_bandit import tiny_bandit
from worker.contract.context import Context
from worker.kinds.bandit.summary import LearntPolicy
from worker.runtime.registry import load_kind


def tiny(kind: str, folder: Path) -> Path:
    """Write the kind's tiny dataset and return the folder of its canonical files."""
    return _MAKERS[kind](folder)


def _interactions(folder: Path) -> Path:
    # More users than the default budget of 500, and rows long enough for learned ones.
    source = planted_csv(folder / "planted.csv", users=700, items=60)
    canonical = folder / "canonical"
    canonical.mkdir()
    load_kind("interactions").ingest([(source.name, source)], {}, canonical, Context(), {})
    return canonical


_MAKERS = {"interactions": _interactions, "bandit": tiny_bandit}


def read_by_its_loader(kind: str, bundle: Path) -> tuple[str, float]:
    """A line of Python that reads a bundle with the code in it and prints a number, and the number to expect."""
    made = load_kind(kind).read_bundle(bundle)
    if isinstance(made, LearntPolicy):
        context = np.linspace(-1, 1, made.d, dtype=np.float32)[None, :]
        best = made.scorer(context).dense(np.array([0])).max()
        return f"import numpy, predict; print(predict.predict(numpy.array({context.tolist()})).max())", float(best)
    if kind == "bandit":
        return "import load; print(load.rounds['round_weight'].sum())", float(made.weight.sum())
    return "import load; print(load.rows.sum())", float(made.rows.sum())
