"""The loader that travels with a summary: what it holds, as numpy arrays and as a torch dataset."""

LOADER = '''"""Load this summary. `x` float32 (m, c, h, w) as networks see it (all views of an image in a row), `y`
classes (m,), `targets` (m, C) what is to be learned (soft labels, scores, or the classes), `weights` (m,), `classes`
their names; `encode(pixels)`: other images uint8 (n, h, w, c) as networks see them; `dataset()`: a torch dataset of
(image, target, weight). `recipe` says by which loss."""
import json, pathlib
import numpy as np

here = pathlib.Path(__file__).resolve().parent
about = json.loads((here / "preprocess.json").read_text(encoding="utf-8"))
recipe = json.loads((here / "train_recipe.json").read_text(encoding="utf-8"))
classes, mean, std = about["classes"], np.float32(about["mean"]), np.float32(about["std"])
stored = dict(np.load(here / "summary.npz"))
zca = dict(np.load(here / "zca.npz")) if about["whitened"] else None


def encode(pixels):
    x = ((np.float32(pixels) / np.float32(255) - mean) / std).transpose(0, 3, 1, 2)
    return x if zca is None else ((x.reshape(len(x), -1) - zca["mean"]) @ zca["matrix"]).reshape(x.shape)


def _decode(x, kind, factor, size):
    import torch
    enlarge = lambda x, size: torch.nn.functional.interpolate(x, size, mode="bilinear", align_corners=False)
    x = torch.from_numpy(x.astype("f4"))
    if kind == "basis":
        mixed = (torch.from_numpy(stored["coefficients"].astype("f4")) @ x.flatten(1)).view(-1, *x.shape[1:])
        return (mixed if factor == 1 else enlarge(mixed, size)).numpy()
    tall, wide = (-(-side // factor) for side in size)
    x = torch.nn.functional.pad(x, (0, wide * factor - size[1], 0, tall * factor - size[0]))
    tiles = x.unfold(2, tall, tall).unfold(3, wide, wide).permute(0, 2, 3, 1, 4, 5)
    return enlarge(tiles.reshape(-1, x.shape[1], tall, wide), size).numpy()


def _views(x, count, seed, degrees, stretch, shift):
    import torch
    u = np.random.PCG64(seed).random_raw(len(x) * count * 5).reshape(-1, count, 5) * 2.0**-63 - 1
    u[:, 0] = 0
    turned, across, down = np.radians(degrees) * u[..., 0], stretch ** u[..., 1], stretch ** u[..., 2]
    right, low, cos, sin = 2 * shift * u[..., 3], 2 * shift * u[..., 4], np.cos(turned), np.sin(turned)
    maps = np.stack([across * cos, -down * sin, right, across * sin, down * cos, low], -1).reshape(-1, 2, 3)
    seen = torch.from_numpy(np.repeat(x, count, axis=0))
    grid = torch.nn.functional.affine_grid(torch.from_numpy(np.float32(maps)), seen.shape, align_corners=False)
    seen = torch.nn.functional.grid_sample(seen, grid, align_corners=False).numpy()
    seen[::count] = x
    return seen


x, kind, count = stored["x"], about["decoder"]["kind"], about["views"]["count"]
x = encode(x) if x.dtype == np.uint8 else x.astype("f4")
x = x if kind == "pixels" else _decode(x, kind, about["decoder"]["factor"], about["size"])
x = x if count == 1 else _views(x, **about["views"])
y, weights = stored["y"].astype("i8").repeat(count), stored["weights"].repeat(count)
targets = stored["soft"].astype("f4") if "soft" in stored else np.eye(len(classes), dtype="f4")[y]


def dataset():
    import torch
    return torch.utils.data.TensorDataset(*map(torch.from_numpy, (x, targets, weights)))
'''
