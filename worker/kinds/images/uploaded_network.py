"""A Vision Transformer uploaded as a version of its own, for methods that take a teacher.

    network.safetensors    the state dict, as it came
    network.json           its sizes

It is kept as it came, since only a dataset says of what size and of which classes images are; that it is a plain ViT of
timm is checked at once, and its weights are fitted to the images when a job names both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from worker.contract.context import Context
from worker.contract.method import Input
from worker.ingest.limits import Meter
from worker.ingest.sources import Source

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS, SIZES = "network.safetensors", "network.json"
TEACHER = Input(
    "teacher",
    type="dataset",
    required=False,
    description="A version that is an uploaded Vision Transformer (timm's state dict as safetensors), with which the "
    "teacher `remem` begins instead of training one.",
)
_BLOCK = 1 << 20


@dataclass(frozen=True)
class UploadedNetwork:
    """The state dict in a file. `sizes`: of the network, as `ViTShape` has them."""

    path: Path
    sizes: Mapping[str, Any]

    def state(self) -> dict[str, Tensor]:
        """Its tensors, float32."""
        from worker.kinds.images.teachers.checkpoint import read_state  # torch, which loading versions does not need

        return read_state(self.path)


def is_network(sources: Sequence[Source]) -> bool:
    """Whether an upload is a network and no images."""
    return len(sources) == 1 and PurePosixPath(sources[0].name).suffix.lower() == ".safetensors"


def ingest(source: Source, out: Path, meter: Meter, ctx: Context) -> dict[str, Any]:
    """Write the files of the version. Raises `JobError` `invalid_input` where the upload is no plain ViT of timm."""
    from worker.kinds.images.teachers.checkpoint import read_shapes, shape_of

    out.mkdir(parents=True, exist_ok=True)
    with source.open(meter) as stream, (out / WEIGHTS).open("wb") as file:
        while block := stream.read(_BLOCK):
            file.write(block)
            meter.tick()
    shapes = read_shapes(out / WEIGHTS)
    sizes = shape_of(shapes, pointer="/files").to_json()
    (out / SIZES).write_text(json.dumps(sizes | {"tensors": len(shapes)}, indent=1, sort_keys=True) + "\n")
    ctx.warn("This version is a network without images: name it as the input `teacher` of a job on images.")
    schema = {WEIGHTS: {name: list(shape) for name, shape in sorted(shapes.items())[:100]}}
    detection = {"layout": "network", "files": [source.name], "ignored": []}
    return describe(out) | {"schema": schema, "warnings": list(ctx.warnings), "detection": detection}


def holds_network(folder: Path) -> bool:
    """Whether canonical files are those of a network."""
    return (folder / SIZES).is_file()


def load(folder: Path) -> UploadedNetwork:
    """The network of a version."""
    return UploadedNetwork(folder / WEIGHTS, json.loads((folder / SIZES).read_text()))


def describe(folder: Path) -> dict[str, Any]:
    """{statistics, preview, warnings} of a version."""
    sizes = dict(load(folder).sizes)
    statistics = {"images": 0, "images_train": 0, "images_validation": 0, "images_test": 0, "network": sizes}
    return {"statistics": statistics, "preview": [], "warnings": []}
