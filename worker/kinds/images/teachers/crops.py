"""Crops that a teacher recognises (RDED: Sun et al., "On the Diversity and Realism of Distilled Dataset", CVPR 2024,
arXiv:2312.03526, section 4).

Of every candidate image some random square crops are drawn; the teacher's loss with the true class says how real each
one is; the best crop of an image stands for it, and the best images of a class are its summary, f x f of them a canvas.
Nothing is optimised: every tile is a crop of a real image, shrunk to its tile. Ours draws the area of a crop from a
given range (1, the whole image, included), and shrinks with antialiasing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from worker.contract.errors import JobError


@dataclass(frozen=True)
class Crops:
    """Square crops: `row` int64 (m,) numbers of images, `top`, `left`, `side` int64 (m,) in pixels."""

    row: np.ndarray
    top: np.ndarray
    left: np.ndarray
    side: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    def take(self, chosen: np.ndarray) -> Crops:
        """Some of them."""
        return Crops(self.row[chosen], self.top[chosen], self.left[chosen], self.side[chosen])


def drawn(rows: np.ndarray, each: int, height: int, width: int, area: float, rng: np.random.Generator) -> Crops:
    """`each` random crops of every image: the share of the area uniform in [`area`, 1], the place uniform.

    `rows`: numbers of images, which are `height` x `width` pixels; crops are square, of the shorter side at most.
    """
    row = np.repeat(np.asarray(rows, np.int64), each)
    shortest = min(height, width)
    side = np.sqrt(rng.uniform(area, 1.0, len(row))) * shortest
    side = np.clip(np.rint(side), 1, shortest).astype(np.int64)
    top = np.floor(rng.random(len(row)) * (height - side + 1)).astype(np.int64)
    left = np.floor(rng.random(len(row)) * (width - side + 1)).astype(np.int64)
    return Crops(row, top, left, side)


def cut(image: np.ndarray, top: int, left: int, side: int, size: int) -> np.ndarray:
    """One crop of an image uint8 (h, w, c), shrunk or stretched to (size, size, c) uint8: bilinear, antialiased."""
    part = np.ascontiguousarray(image[top : top + side, left : left + side])
    if side == size:
        return part
    x = torch.from_numpy(part).permute(2, 0, 1)[None].float()
    x = torch.nn.functional.interpolate(x, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return x[0].permute(1, 2, 0).round_().clamp_(0, 255).to(torch.uint8).numpy()


def best_of_each(row: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Of every image the number of its crop with the least loss, in the order of the images' first crops; ties go to
    the earlier crop. `row`, `loss`: (m,)."""
    order = np.lexsort((np.arange(len(row)), loss, row))
    first = np.ones(len(order), bool)
    first[1:] = row[order][1:] != row[order][:-1]
    return np.sort(order[first])


def least(loss: np.ndarray, count: int) -> np.ndarray:
    """Numbers of the `count` least losses, least first; ties go to the earlier."""
    return np.argsort(loss, kind="stable")[:count]


def tiled(tiles: np.ndarray, factor: int) -> np.ndarray:
    """Canvases uint8 (n, f t, f t, c) of tiles (n f^2, t, t, c), f^2 consecutive ones each, row by row."""
    count, t, _, c = tiles.shape
    n = count // factor**2
    grid = tiles[: n * factor**2].reshape(n, factor, factor, t, t, c)
    return np.ascontiguousarray(grid.transpose(0, 1, 3, 2, 4, 5).reshape(n, factor * t, factor * t, c))


def tile_side(side: int, factor: int) -> int:
    """Side of a tile when f x f fill a canvas. Raises `JobError` `invalid_input` where they cannot."""
    if side % factor or side // factor < 2:
        raise JobError(
            "invalid_input",
            f"{factor} tiles do not fill a side of {side} pixels.",
            hint=f"Choose a factor that divides {side}, or 1.",
            pointer="/params/factor",
        )
    return side // factor


def padded(tiles: Tensor, side: int, fill: Tensor) -> Tensor:
    """Tiles (m, c, t, t) in the middle of canvases (m, c, side, side) of one colour (c,), as a teacher sees them."""
    t = tiles.shape[2]
    if t == side:
        return tiles
    at = (side - t) // 2
    canvas = fill.view(1, -1, 1, 1).expand(len(tiles), -1, side, side).clone()
    canvas[:, :, at : at + t, at : at + t] = tiles
    return canvas
