"""LRS and ARS by DD-Ranking's evaluators (NUS-HPC-AI-Lab/DD-Ranking), of accuracies that are given, for `image_parts`.

    python -m benchmarks.peers.ranking_scores CLONE < [{"full": ..., "hard": ..., ...}, ...]

Its classes make the scores; what they would train for hours is answered with the accuracies. Libraries that only that
training, its data and its pictures need are stood in for.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import torch

UNUSED = ("torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.transforms.functional",
          "torchvision.utils", "torchvision.models", "timm", "kornia", "tqdm", "pandas")  # fmt: skip


def stand_in() -> None:
    """Objects that are anything, for libraries that are imported and not used."""
    for name in UNUSED:
        sys.modules.setdefault(name, MagicMock())


def label_robust(evaluator: type, given: dict[str, float], folder: str) -> float:
    """LRS of the accuracies `full`, `hard` (both with hard labels), `summary` and `random` (with soft ones)."""
    images, drawn = torch.zeros(1), torch.ones(1)

    class Given(evaluator):
        def __init__(self) -> None:
            self.__dict__ |= common(folder) | {"soft_label_mode": "M", "eval_full_data": True}

        def _compute_hard_label_metrics_helper(self, *, mode: str, **_: Any) -> tuple[float, float]:
            return given["full" if mode == "real" else "hard"], 0.0

        def _compute_soft_label_metrics_helper(self, *, image_tensor: torch.Tensor, **_: Any) -> tuple[float, float]:
            return given["summary" if image_tensor is images else "random"], 0.0

        def _get_random_data_helper(self, **_: Any) -> tuple[None, torch.Tensor, None]:
            return None, drawn, None

    return float(Given().compute_metrics(image_tensor=images)["label_robust_score_mean"])


def augmentation_robust(evaluator: type, given: dict[str, float], folder: str) -> float:
    """ARS of `summary_augmented`, `random_augmented`, `summary_plain` and `random_plain`."""
    images, drawn = torch.zeros(1), torch.ones(1)

    def whose(x: torch.Tensor) -> str:
        return "summary" if x is images else "random"

    class Given(evaluator):
        def __init__(self) -> None:
            self.__dict__ |= common(folder) | {"label_type": "hard", "soft_label_mode": None}

        def _compute_with_aug_metrics_helper(self, *, image_tensor: torch.Tensor, **_: Any) -> tuple[float, float]:
            return given[f"{whose(image_tensor)}_augmented"], 0.0

        def _compute_without_aug_metrics_helper(self, *, image_tensor: torch.Tensor, **_: Any) -> tuple[float, float]:
            return given[f"{whose(image_tensor)}_plain"], 0.0

        def _get_random_data_helper(self, **_: Any) -> tuple[None, torch.Tensor, None, None]:
            return None, drawn, None, None

    return float(Given().compute_metrics(image_tensor=images)["augmentation_robust_score_mean"])


def common(folder: str) -> dict[str, Any]:
    """What their evaluators have of settings where nothing is trained."""
    settings = {"ipc": 1, "num_classes": 2, "num_eval": 1, "use_dist": False, "rank": 0, "device": "cpu"}
    return settings | {"save_path": str(Path(folder) / "scores.csv"), "dataset": "given", "model_name": "given"}


def main() -> None:
    """The scores of each row of accuracies."""
    stand_in()
    sys.path.insert(0, sys.argv[1])
    metrics: Any = __import__("ddranking.metrics", fromlist=["metrics"])
    rows: list[dict[str, float]] = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        found = [
            {
                "lrs": label_robust(metrics.LabelRobustScoreSoft, one, folder),
                "ars": augmentation_robust(metrics.AugmentationRobustScore, one, folder),
            }
            for one in rows
        ]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
