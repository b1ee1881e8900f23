"""Images with classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

from worker.contract.errors import JobError
from worker.contract.kind import Ingest, Judging, Kind
from worker.contract.method import Cost, Term
from worker.kinds.images import dataset, ingest, uploaded_network
from worker.kinds.images.adoption import adopt
from worker.kinds.images.dataset import Images
from worker.kinds.images.description import describe
from worker.kinds.images.needs import TEST_IMAGES
from worker.kinds.images.summary import ImagesSummary
from worker.kinds.images.uploaded_network import UploadedNetwork


def _evaluate_params() -> type[BaseModel]:
    from worker.kinds.images.judge import evaluate_params  # learners need torch, and loading data needs none

    return evaluate_params()


def _load(folder: Path) -> Images:
    if uploaded_network.holds_network(folder):
        raise _no_images("This version is a network and holds no images.", "/dataset")
    return dataset.load(folder)


def _load_input(folder: Path) -> Images | UploadedNetwork:
    return uploaded_network.load(folder) if uploaded_network.holds_network(folder) else dataset.load(folder)


def _describe(folder: Path) -> dict[str, Any]:
    return uploaded_network.describe(folder) if uploaded_network.holds_network(folder) else describe(folder)


def _adopt(data: Images, other: Any) -> ImagesSummary:
    if isinstance(other, UploadedNetwork):
        raise _no_images("What was given as a summary is a network.", "/inputs/summary")
    return adopt(data, other)


def _no_images(detail: str, pointer: str) -> JobError:
    hint = "Name images as the dataset, and a network as the input `teacher` of a job on them."
    return JobError("invalid_input", detail, hint=hint, pointer=pointer)


# A rough guide from one core: a ConvNet of width 32 sees some 1,500 images of 28 x 28 pixels a second in training, and
# every set is trained by four recipes.
_CONVNET, _MLP, _LENET = ({"evaluate.learners": name} for name in ("convnet", "mlp", "lenet"))
_FULL = {"images_train": 1.0, "values": 1.0, "evaluate.epochs": 1.0, "evaluate.seeds": 1.0}
_SETS = {"evaluate.steps": 1.0, "evaluate.seeds": 1.0, "evaluate.draws": 1.0, "values": 1.0}
JUDGING_COST = Cost(
    seconds=(
        Term(10.0),
        Term(4e-6, _FULL, _CONVNET),
        Term(8e-4, _SETS, _CONVNET),
        Term(4e-7, _FULL, _MLP),
        Term(6e-5, _SETS, _MLP),
        Term(6e-7, _FULL, _LENET),
        Term(1.2e-4, _SETS, _LENET),
    ),
    memory_mb=(Term(700.0), Term(4e-6, {"images_train": 1, "values": 1})),
)

KIND: Kind[Images] = Kind(
    name="images",
    unit="image",
    units="images",
    ingest=Ingest(ingest.IngestOptions, ingest.ingest),
    load=_load,
    load_input=_load_input,
    describe=_describe,
    products=(ImagesSummary,),
    adopt=_adopt,
    judging=Judging(_evaluate_params, needs=(TEST_IMAGES,), cost=JUDGING_COST),
)
