"""One step on the images by the official code of MTT (GeorgeCazenavette/mtt-distillation), for `image_step`.

    python -m benchmarks.peers.trajectory_step CLONE pixels.npz IPC STUDENT_STEPS STEPS gradients.npz

Its network, its flat parameters and its augmentation are called as its script calls them, and all student steps are
kept in one graph as there; the loop around them is ours, since theirs wants an account of a logging service, expert
files and a GPU. `pixels.npz` also holds where the student starts and where it should go, float32 (P,). The first step,
without augmentation, goes to `gradients.npz`: there both sides must agree.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.peak import Peak
from benchmarks.peers.condensation_step import plain, stand_in

STRATEGY = "color_crop_cutout_scale_rotate"


def main() -> None:
    """A step to compare, then steps to time."""
    clone, pixels, ipc, student_steps, steps, target_file = sys.argv[1:7]
    torch.set_num_threads(1)
    stand_in("torchvision", "torchvision.datasets", "torchvision.transforms", "kornia", "tqdm")
    stand_in("scipy.ndimage.interpolation")
    sys.path.insert(0, clone)
    utils, networks, reparam = (__import__(name) for name in ("utils", "networks", "reparam_module"))
    with np.load(pixels) as stored:
        x, y, width = torch.from_numpy(stored["x"]), torch.from_numpy(stored["y"]), int(stored["width"])
        start, target = torch.from_numpy(stored["start"]), torch.from_numpy(stored["target"])
    classes = int(y.max()) + 1
    rows = torch.cat([torch.nonzero(y == one)[: int(ipc), 0] for one in range(classes)])
    images, labels = x[rows].clone().requires_grad_(True), y[rows]
    rate = torch.tensor(0.01, requires_grad=True)
    movers = torch.optim.SGD([images], lr=100, momentum=0.5), torch.optim.SGD([rate], lr=1e-5, momentum=0.5)
    param = utils.ParamDiffAug()

    def network() -> Any:
        shape = (x.shape[1], classes, width, 3, "relu", "instancenorm", "avgpooling", tuple(x.shape[2:]))
        return reparam.ReparamModule(networks.ConvNet(*shape)).train()

    def step(strategy: str) -> float:
        student, path = network(), [start.clone().requires_grad_(True)]
        for _ in range(int(student_steps)):
            chosen = torch.randperm(len(images))
            seen = plain(utils.DiffAugment(images[chosen], strategy, param=param))
            loss = functional.cross_entropy(student(seen, flat_param=path[-1]), labels[chosen])
            (gradient,) = torch.autograd.grad(loss, path[-1], create_graph=True)
            path.append(path[-1] - rate * gradient)
        found = functional.mse_loss(path[-1], target, reduction="sum")
        found = found / functional.mse_loss(start, target, reduction="sum")
        for mover in movers:
            mover.zero_grad()
        found.backward()
        return float(found.detach())

    peak = Peak()
    first = step("none")
    np.savez(target_file, loss=first, images=images.grad, log_rate=rate.grad * rate.detach())
    seconds: list[float] = []
    for _ in range(int(steps)):
        started = time.process_time()
        loss = step(STRATEGY)
        for mover in movers:
            mover.step()
        seconds.append(time.process_time() - started)
    print(json.dumps({"step_s": min(seconds), "loss": loss, "peak_mb": peak.mb()}))


if __name__ == "__main__":
    main()
