"""One step on the images by the official code of DC, DSA and DM (VICO-UoE/DatasetCondensation), for `image_step`.

    python -m benchmarks.peers.condensation_step CLONE pixels.npz METHOD IPC BATCH STEPS

Its networks, its augmentation and its loss are called as its scripts call them; the loop around them is theirs, too,
less evaluation and writing of pictures. torchvision and a module that scipy no longer has are imported there for data
and for an augmentation that is not used here: empty ones stand in for them.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import types
from typing import Any

import numpy as np
import torch

from benchmarks.peak import Peak


def stand_in(*names: str) -> None:
    """Empty modules for what is imported and not used."""
    for name in names:
        module = types.ModuleType(name)
        module.__getattr__ = lambda _: None  # type: ignore[method-assign]
        sys.modules.setdefault(name, module)


def plain(x: torch.Tensor) -> torch.Tensor:
    """The same with the usual strides, without which a view in its networks fails."""
    return x.reshape(-1).reshape(x.shape)


def main() -> None:
    clone, pixels, method, ipc, batch, steps = sys.argv[1:7]
    torch.set_num_threads(1)
    stand_in("torchvision", "torchvision.datasets", "torchvision.transforms", "torchvision.utils")
    stand_in("scipy.ndimage.interpolation")
    sys.path.insert(0, clone)
    utils: Any = __import__("utils")
    networks: Any = __import__("networks")
    with np.load(pixels) as stored:
        x, y, width = torch.from_numpy(stored["x"]), torch.from_numpy(stored["y"]), int(stored["width"])
    classes = int(y.max()) + 1
    rows = [torch.nonzero(y == one)[:, 0] for one in range(classes)]
    syn = torch.cat([x[one[: int(ipc)]] for one in rows]).clone().requires_grad_(True)
    labels = torch.arange(classes).repeat_interleave(int(ipc))
    optimiser = torch.optim.SGD([syn], lr=0.1, momentum=0.5)
    args = argparse.Namespace(dis_metric="ours", device="cpu")
    param, criterion = utils.ParamDiffAug(), torch.nn.CrossEntropyLoss()
    strategy = "" if method == "dc" else "color_crop_cutout_scale_rotate"
    seconds: list[float] = []
    peak = Peak()
    for _ in range(1 + int(steps)):  # the first is left out
        started = time.process_time()
        net = networks.ConvNet(x.shape[1], classes, width, 3, "relu", "instancenorm", "avgpooling", tuple(x.shape[2:]))
        net.train()
        loss = torch.tensor(0.0)
        for one in range(classes):
            real = x[rows[one][torch.randperm(len(rows[one]))[: int(batch)]]]
            mine = syn[one * int(ipc) : (one + 1) * int(ipc)]
            if strategy:
                seed = int(time.time() * 1000) % 100000
                real = utils.DiffAugment(real, strategy, seed=seed, param=param)
                mine = utils.DiffAugment(mine, strategy, seed=seed, param=param)
                real, mine = plain(real), plain(mine)
            if method == "dm":
                for parameter in net.parameters():
                    parameter.requires_grad = False
                there, here = net.embed(real).detach(), net.embed(mine)
                loss = loss + torch.sum((there.mean(dim=0) - here.mean(dim=0)) ** 2)
                continue
            weights = list(net.parameters())
            wanted = torch.autograd.grad(criterion(net(real), torch.full((len(real),), one)), weights)
            wanted = [w.detach().clone() for w in wanted]
            given = torch.autograd.grad(
                criterion(net(mine), labels[one * int(ipc) : (one + 1) * int(ipc)]), weights, create_graph=True
            )
            loss = loss + utils.match_loss(given, wanted, args)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seconds.append(time.process_time() - started)
    print(json.dumps({"step_s": min(seconds[1:]), "loss": float(loss.detach()), "peak_mb": peak.mb()}))


if __name__ == "__main__":
    main()
