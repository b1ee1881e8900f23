"""Accuracies and LRS of given images by DD-Ranking's trainings (NUS-HPC-AI-Lab/DD-Ranking), for `image_parts`.

    python -m benchmarks.peers.ranking_trainings CLONE tensors.npz FULL WIDTH

`tensors.npz`: `x` (m, c, h, w) and `y` of a summary, `random` (seeds, m, c, h, w), `test_x`, `test_y`. Its evaluator
for hard labels trains and scores as its demo does: 300 epochs of SGD, five step sizes, the best of them and of all
looks at the test images. FULL: the accuracy of full data in [0, 1], which it too takes from a table. Its accuracies are
per cent, which its formula is not made for: they are handed over as shares.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks.peers.ranking_scores import stand_in

EPOCHS, LOOKS = 300, 20


def evaluator_of(module: Any, stored: dict[str, np.ndarray], full: float, width: int, folder: str) -> Any:
    """Its evaluator on these images; only what reads its own datasets and builds networks of width 128 is replaced."""
    networks: Any = __import__("ddranking.utils.networks", fromlist=["networks"])
    x, y = torch.from_numpy(stored["test_x"]), torch.from_numpy(stored["test_y"])
    drawn, size = torch.from_numpy(stored["random"]), stored["x"].shape
    classes = int(y.max()) + 1
    module.build_model = lambda **_: networks.ConvNet(
        size[1], classes, width, 3, "relu", "instancenorm", "avgpooling", size[2:]
    )
    module.tqdm = lambda steps, **_: steps
    module.REAL_DATA_ACC_CACHE = {"given-given": full}

    class Given(module.LabelRobustScoreHard):
        def __init__(self) -> None:
            self.ipc, self.num_classes, self.im_size = size[0] // classes, classes, size[2:]
            self.num_eval, self.num_epochs, self.test_interval = len(drawn), EPOCHS, LOOKS
            self.optimizer, self.lr_scheduler, self.step_size = "sgd", "step", EPOCHS // 2 + 1
            self.weight_decay, self.momentum, self.aug_func = 5e-4, 0.9, None
            self.use_dist, self.rank, self.device, self.num_workers = False, 0, "cpu", 0
            self.real_batch_size = self.syn_batch_size = 256
            self.dataset = self.model_name = "given"
            self.use_torchvision = self.eval_full_data = False
            self.class_map = {one: one for one in range(classes)}
            self.test_loader_syn = DataLoader(networks_dataset(x, y), batch_size=1000)
            self.save_path = str(Path(folder) / "scores.csv")

        def _compute_hard_label_metrics(self, *given: Any, **named: Any) -> float:
            return super()._compute_hard_label_metrics(*given, **named) / 100

        def _get_random_data_helper(self, eval_iter: int) -> tuple[None, torch.Tensor, torch.Tensor]:
            return None, drawn[eval_iter], torch.from_numpy(stored["y"])

    return Given()


def networks_dataset(x: torch.Tensor, y: torch.Tensor) -> Any:
    """Images and labels as its dataset."""
    data: Any = __import__("ddranking.utils.data", fromlist=["data"])
    return data.TensorDataset(x, y)


def main() -> None:
    clone, tensors, full, width = sys.argv[1:5]
    torch.set_num_threads(1)
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)  # torch looks at what is installed: before the stand-ins
    stand_in()
    sys.path.insert(0, clone)
    module: Any = __import__("ddranking.metrics.hard_label", fromlist=["hard_label"])
    with np.load(tensors) as stored:
        arrays = dict(stored)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        evaluator = evaluator_of(module, arrays, float(full), int(width), folder)
        found = evaluator.compute_metrics(
            image_tensor=torch.from_numpy(arrays["x"]), hard_labels=torch.from_numpy(arrays["y"])
        )
    print(json.dumps({name: float(value) for name, value in found.items()}))


if __name__ == "__main__":
    main()
