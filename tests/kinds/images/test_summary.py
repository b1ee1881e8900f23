"""Summaries as files: what is read back is what was made, and the loader needs nothing of ours."""

from __future__ import annotations

import io
import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.kinds.images.small import small_digits
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.product import Origin
from worker.kinds.images import KIND
from worker.kinds.images.adoption import adopt
from worker.kinds.images.dataset import TEST, TRAIN, Images
from worker.kinds.images.decoder import Decoder
from worker.kinds.images.summary import ImagesSummary, made, of_rows
from worker.kinds.images.views import Views
from worker.kinds.images.whitening import whitening

RNG = np.random.default_rng(0)


def learned(data: Images, **more) -> ImagesSummary:
    return made(data, RNG.normal(size=(4, 1, 8, 8)), np.arange(4), Origin("test"), **more)


def whitened(data: Images) -> ImagesSummary:
    return learned(data, encoding=data.encoding.whitened(whitening(data.train)))


def of_basis(data: Images) -> ImagesSummary:
    bases, coefficients = RNG.normal(size=(3, 1, 4, 4)), RNG.normal(size=(4, 3))
    return made(data, bases, np.arange(4), Origin("test"), decoder=Decoder("basis", 2), coefficients=coefficients)


def canvases(data: Images) -> ImagesSummary:
    soft = RNG.dirichlet(np.ones(4), 36)
    x = RNG.normal(size=(4, 1, 8, 8))
    return made(data, x, np.repeat(np.arange(4), 9), Origin("test"), soft=soft, decoder=Decoder("multiform", 3))


def real(data: Images) -> ImagesSummary:
    return of_rows(data, np.flatnonzero(data.split == TRAIN)[[5, 0, 9]], Origin("test"), weights=np.array([1, 2, 3.0]))


def viewed(summary: ImagesSummary) -> ImagesSummary:
    """With logits of three views of every image."""
    soft = RNG.normal(size=(3 * len(summary), 4)).astype(np.float16).astype(np.float32)
    return replace(summary, views=Views(3, 7), soft=soft, loss="logits")


SUMMARIES = {
    "real": real,
    "learned": learned,
    "whitened": whitened,
    "basis": of_basis,
    "multiform": canvases,
    "viewed": lambda data: viewed(real(data)),
    "viewed canvases": lambda data: viewed(canvases(data)),
    "scores": lambda data: learned(data, soft=RNG.normal(size=(4, 4)), loss="mse", rate=0.03),
}


@pytest.mark.parametrize("name", list(SUMMARIES))
def test_summary_when_written_then_reads_back_the_same_and_its_loader_gives_what_was_measured(
    name: str, tmp_path: Path
):
    data = small_digits(tmp_path)
    summary = SUMMARIES[name](data)
    folder, again = tmp_path / "one", tmp_path / "two"
    folder.mkdir()
    again.mkdir()
    summary.write(folder, data)
    back = ImagesSummary.read(folder)
    back.write(again, data)
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        assert file.read_bytes() == (again / file.relative_to(folder)).read_bytes(), file.name
    assert (back.images.all() == summary.images.all()).all()
    loaded = runpy.run_path(str(folder / "load.py"))
    np.testing.assert_allclose(loaded["x"], summary.images.all(), atol=1e-5)
    np.testing.assert_allclose(loaded["targets"], summary.images.targets(), atol=1e-6)
    pixels = data.part(TEST).pixels(np.arange(3))
    seen = data.part(TEST).under(summary.encoding).batch(np.arange(3))
    np.testing.assert_allclose(loaded["encode"](pixels), seen, atol=1e-5)
    assert len(loaded["dataset"]()) == len(summary.images)
    assert loaded["y"].tolist() == summary.images.y.tolist()


def test_loader_is_short_and_the_pictures_are_the_images(tmp_path: Path):
    data = small_digits(tmp_path)
    folder = tmp_path / "out"
    folder.mkdir()
    summary = real(data)
    summary.write(folder, data)
    code = [line for line in (folder / "load.py").read_text().splitlines() if line.strip()]
    assert len(code) <= 50
    for row in range(3):
        picture = Image.open(io.BytesIO((folder / "images" / str(summary.y[row]) / f"{row}.png").read_bytes()))
        assert (np.asarray(picture) == summary.x[row, :, :, 0]).all()
    lines = (folder / "indices.csv").read_text().splitlines()
    assert lines[0] == "row,source,class,weight"
    assert lines[1].startswith(f"{summary.rows[0]},x[{summary.rows[0]}],")
    version = KIND.load(folder / "dataset")
    assert (version.pixels == summary.x).all()
    assert version.classes == data.classes


def test_encoding_when_decoded_then_is_the_pixels_again_whitened_or_not(tmp_path: Path):
    data = small_digits(tmp_path)
    pixels = data.part(TEST).pixels(np.arange(5))
    for encoding in (data.encoding, whitened(data).encoding):
        assert (encoding.decode(encoding.encode(pixels)) == pixels).all()
    x = data.train.all()
    assert abs(float(x.mean())) < 1e-4
    assert float(x.std()) == pytest.approx(1, abs=1e-3)


def test_bytes_count_labels_decoder_and_whitening(tmp_path: Path):
    data = small_digits(tmp_path)
    assert sum(real(data).parts_in_bytes.values()) == 3 * (64 + 2) + 3 * 4
    assert sum(learned(data).parts_in_bytes.values()) == 4 * (2 * 64 + 2)
    assert canvases(data).parts_in_bytes == {
        "pixels": 4 * 64 * 2, "labels": 36 * 4 * 2, "weights": 0, "decoder": 0, "whitening": 0,
    }  # fmt: skip
    assert viewed(canvases(data)).parts_in_bytes["labels"] == 3 * 36 * 4 * 2
    assert of_basis(data).parts_in_bytes["decoder"] == 4 * 3 * 2
    assert whitened(data).parts_in_bytes["whitening"] == 4 * (64 * 64 + 64)
    about = tmp_path / "about"
    about.mkdir()
    whitened(data).write(about, data)
    assert json.loads((about / "summary.json").read_text())["bytes"]["pixels"] == 512


def test_version_when_adopted_then_its_held_out_images_are_left_out_and_others_must_fit(tmp_path: Path):
    data = small_digits(tmp_path)
    taken = adopt(data, data)
    assert len(taken) == len(data.train)
    assert any("left out" in warning for warning in taken.warnings)
    smaller = replace(data, pixels=np.asarray(data.pixels)[:, :4])
    strange = replace(data, schema=replace(data.schema, classes=("0", "1", "2", "nine")))
    only_test = replace(
        data, pixels=data.part(TEST).pixels(np.arange(4)), label=data.part(TEST).y[:4], split=np.zeros(4, np.int8)
    )
    for other, said in ((smaller, "8 x 4 grey pixels"), (strange, "nine"), (only_test, "nothing but")):
        with pytest.raises(JobError, match=said) as refused:
            adopt(data, other)
        assert refused.value.pointer == "/inputs/summary"
        assert refused.value.hint


def test_evaluate_when_a_summary_holds_test_images_then_is_refused(tmp_path: Path):
    from worker.runtime.registry import discover

    data = small_digits(tmp_path)
    method = discover()["images", "evaluate"]
    cheat = of_rows(data, np.flatnonzero(data.split == TEST)[:4], Origin("cheat"))
    with pytest.raises(JobError, match="4 images of a summary are held out"):
        method.run(data, method.params(), Context(inputs={"summary": [cheat]}))
