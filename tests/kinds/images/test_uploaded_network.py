"""A network uploaded as safetensors: a version of its own, with which the teacher `remem` begins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.kinds.images.test_teacher_methods import SHORT, images
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.images import KIND
from worker.kinds.images.methods.remem import ReMemParams, remem
from worker.kinds.images.methods.softlabel import SoftLabelParams, softlabel
from worker.kinds.images.networks.vit import ViTShape, fresh_vit
from worker.kinds.images.uploaded_network import UploadedNetwork

SHAPE = ViTShape(channels=1, side=8, classes=7, patch=2, width=64, depth=2, heads=1, hidden=32)


def uploaded(folder: Path, seed: int = 3, change=None) -> Path:
    """The canonical files of an uploaded network."""
    state = {name: value.clone().contiguous() for name, value in fresh_vit(SHAPE, seed).state_dict().items()}
    if change is not None:
        change(state)
    folder.mkdir(exist_ok=True)
    save_file(state, folder / "vit.safetensors")
    KIND.ingest.run([("vit.safetensors", folder / "vit.safetensors")], {}, folder / "version", Context(), {})
    return folder / "version"


def test_a_network_is_a_version_that_says_its_sizes(tmp_path: Path) -> None:
    folder = uploaded(tmp_path / "one")
    described = KIND.describe(folder)["statistics"]
    assert described["images_test"] == 0
    assert described["network"]["depth"] == 2
    assert described["network"]["heads"] == 1
    assert KIND.load_input is not None
    given = KIND.load_input(folder)
    assert isinstance(given, UploadedNetwork)
    assert torch.equal(given.state()["head.bias"], fresh_vit(SHAPE, 3).head.bias)
    with pytest.raises(JobError, match="holds no images") as refused:
        KIND.load(folder)
    assert "teacher" in refused.value.hint


def test_the_teacher_begins_with_the_network_that_was_given(tmp_path: Path) -> None:
    assert KIND.load_input is not None
    params = SoftLabelParams(ipc=1, teacher="remem", **SHORT)
    made = []
    for seed in (3, 4):
        ctx = Context(seed=1, inputs={"teacher": KIND.load_input(uploaded(tmp_path / str(seed), seed))})
        made.append(softlabel(images(), params, ctx))
    assert np.array_equal(made[0].x, made[1].x)
    assert not np.array_equal(made[0].soft, made[1].soft)
    found = remem(images(), ReMemParams(tune_images=40, seeds=1, rhos=[0.0], scales=[1.0, 0.5], student_width=8), ctx)
    assert "uploaded" in str(found.protocol)


def test_what_is_no_vit_is_refused_when_it_is_uploaded(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="cls_token is missing") as refused:
        uploaded(tmp_path / "a", change=lambda state: state.pop("cls_token"))
    assert refused.value.pointer == "/files"
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.safetensors").write_bytes(b"no tensors here")
    with pytest.raises(JobError, match="not a safetensors file"):
        KIND.ingest.run([("x.safetensors", tmp_path / "b" / "x.safetensors")], {}, tmp_path / "c", Context(), {})


def test_images_are_no_teacher(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="no network") as refused:
        softlabel(images(), SoftLabelParams(teacher="remem", **SHORT), Context(inputs={"teacher": images()}))
    assert refused.value.pointer == "/inputs/teacher"
