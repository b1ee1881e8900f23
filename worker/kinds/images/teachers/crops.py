"""Crops that a teacher recognises (RDED: Sun et al., CVPR 2024, arXiv:2312.03526, section 4).

Of every candidate image some random crops are drawn; the teacher's loss with the true class says how real each one is;
the best crop of an image stands for it, and the best images of a class are its summary, f x f of them a canvas. Every
tile is a crop of a real image, shrunk to its tile with antialiasing. A crop has the proportions of its image, and its
area is drawn from a given range that ends with the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from worker.contract.errors import JobError
from worker.kinds.images.image_set import ImageSet


@dataclass(frozen=True)
class Crops:
    """Rectangles: `row` int64 (m,) numbers of images, `top`, `left`, `height`, `width` int64 (m,) in pixels."""

    row: np.ndarray
    top: np.ndarray
    left: np.ndarray
    height: np.ndarray
    width: np.ndarray

    def __len__(self) -> int:
        return len(self.row)


def drawn(rows: np.ndarray, each: int, size: tuple[int, int], area: float, rng: np.random.Generator) -> Crops:
    """`each` random crops of every image: the share of the area uniform in [`area`, 1], the place uniform.

    `rows`: numbers of images, `size` their height and width.
    """
    row = np.repeat(np.asarray(rows, np.int64), each)
    share = np.sqrt(rng.uniform(area, 1.0, len(row)))
    height, width = (np.clip(np.rint(share * side), 1, side).astype(np.int64) for side in size)
    top = np.floor(rng.random(len(row)) * (size[0] - height + 1)).astype(np.int64)
    left = np.floor(rng.random(len(row)) * (size[1] - width + 1)).astype(np.int64)
    return Crops(row, top, left, height, width)


def cut(images: ImageSet, crops: Crops, size: tuple[int, int]) -> np.ndarray:
    """The crops of images, resized to `size` (height, width): uint8 (m, h, w, c), bilinear, antialiased."""
    found = np.empty((len(crops), *size, images.shape[0]), np.uint8)
    for number, row in enumerate(crops.row):
        if not number or row != crops.row[number - 1]:
            image = images.pixels(np.array([row]))[0]
        top, left = crops.top[number], crops.left[number]
        found[number] = resized(image[top : top + crops.height[number], left : left + crops.width[number]], size)
    return found


def resized(part: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image uint8 (h, w, c) in another size; the same pixels where it is its own."""
    if part.shape[:2] == size:
        return part
    x = torch.from_numpy(np.ascontiguousarray(part)).permute(2, 0, 1)[None].float()
    x = functional.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
    return x[0].permute(1, 2, 0).round_().clamp_(0, 255).to(torch.uint8).numpy()


def best_of_each(row: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Of every image the number of its crop with the least loss, in the order of the images' first crops; ties go to
    the earlier crop. `row`, `loss`: (m,)."""
    order = np.lexsort((np.arange(len(row)), loss, row))
    first = np.ones(len(order), bool)
    first[1:] = row[order][1:] != row[order][:-1]
    return np.sort(order[first])


def cross_entropy(logits: np.ndarray, y: int) -> np.ndarray:
    """The loss (m,) of logits (m, C) with class `y`."""
    top = logits.max(axis=1)
    return np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top - logits[:, y]


def least(loss: np.ndarray, count: int) -> np.ndarray:
    """Numbers of the `count` least losses, least first; ties go to the earlier."""
    return np.argsort(loss, kind="stable")[:count]


def tiled(tiles: np.ndarray, factor: int) -> np.ndarray:
    """Canvases uint8 (n, f h, f w, c) of tiles (n f^2, h, w, c), f^2 consecutive ones each, row by row."""
    count, h, w, c = tiles.shape
    n = count // factor**2
    grid = tiles.reshape(n, factor, factor, h, w, c)
    return np.ascontiguousarray(grid.transpose(0, 1, 3, 2, 4, 5).reshape(n, factor * h, factor * w, c))


def tile_size(size: tuple[int, int], factor: int) -> tuple[int, int]:
    """Height and width of a tile when f x f fill a canvas. Raises `JobError` `invalid_input` where they cannot."""
    if any(side % factor or side // factor < 2 for side in size):
        raise JobError(
            "invalid_input",
            f"{factor} x {factor} tiles do not fill an image of {size[1]} x {size[0]} pixels.",
            hint="Choose a factor that divides both sides, or 1.",
            pointer="/params/factor",
        )
    return size[0] // factor, size[1] // factor
