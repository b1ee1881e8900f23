"""A summary of points: a few of them that stand for all.

dataset/points.npz  the points, as canonical files of a dataset version
summary.json        where the summary comes from
load.py             a loader that needs numpy only
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from worker.contract.context import Context
from worker.contract.product import Origin, Product
from worker.kinds.points import dataset
from worker.kinds.points.dataset import Points

LOADER = '''"""Load this summary: `at` (n, 2) and the `label` of every point."""
import pathlib
import numpy as np

with np.load(pathlib.Path(__file__).parent / "dataset" / "points.npz") as stored:
    at, label = stored["at"], stored["labels"][stored["label"]]
'''


@dataclass(frozen=True)
class PointsSummary(Product):
    """What a method makes of points: `points`, all of them for training."""

    type: ClassVar[str] = "points"

    points: Points
    origin: Origin = field(default_factory=Origin)
    warnings: tuple[str, ...] = ()

    def write(self, folder: Path, data: Points) -> None:
        """Write the delivered files."""
        (folder / "dataset").mkdir()
        dataset.save(self.points, folder / "dataset")
        (folder / "load.py").write_text(LOADER)
        about = {"origin": self.origin.to_json(), "warnings": list(self.warnings)}
        (folder / "summary.json").write_text(json.dumps(about, indent=1, sort_keys=True) + "\n")

    @classmethod
    def read(cls, folder: Path) -> PointsSummary:
        """The summary back from its files."""
        about = json.loads((folder / "summary.json").read_text())
        points = dataset.load(folder / "dataset")
        return cls(points, Origin.from_json(about["origin"]), tuple(about["warnings"]))

    def judge(self, data: Points, params: Any, ctx: Context) -> Any:
        """Measure it; see `worker.kinds.points.judge`."""
        from worker.kinds.points.judge import judge

        return judge(data, [self], params, ctx)


def adopt(data: Points, other: Points) -> PointsSummary:
    """A dataset version as a summary of `data`: all its points."""
    return PointsSummary(other.for_training(), Origin("uploaded subset"))
