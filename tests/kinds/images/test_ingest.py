"""Every form of upload gives the same dataset; what cannot be read is refused with the file and a cure."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

from tests.kinds.images import uploads
from tests.kinds.images.tiny import digits
from tests.kinds.images.uploads import FORMS, encoded, read, two_parts, zipped
from worker.contract.errors import JobError
from worker.kinds.images.dataset import TEST, TRAIN, VALIDATION


def saved(folder: Path, **arrays: Any) -> uploads.Files:
    np.savez(folder / "images.npz", **arrays)
    return [("images.npz", folder / "images.npz")]


@pytest.mark.parametrize("form", list(FORMS))
def test_digits_when_uploaded_in_any_form_then_give_the_same_images_classes_and_split(form: str, tmp_path: Path):
    data, said = read(FORMS[form](tmp_path), tmp_path)
    assert said["detection"]["layout"] == form
    assert data.classes == ("0", "1", "2")
    parts = two_parts()
    for code, (x, y) in ((TEST, parts["test"]), (None, parts["train"])):
        rows = np.flatnonzero(data.split == TEST if code == TEST else data.split != TEST)
        got = sorted((int(data.label[row]), data.pixels[row].tobytes()) for row in rows)
        assert got == sorted((int(label), pixels.tobytes()) for pixels, label in zip(x, y, strict=True))
    assert 0 < (data.split == VALIDATION).sum() < (data.split == TRAIN).sum()


def test_cifar_binary_when_uploaded_then_planes_become_pixels(tmp_path: Path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (60, 32, 32, 3), np.uint8)
    y = np.arange(60) % 2
    records = b"".join(bytes([label]) + one.transpose(2, 0, 1).tobytes() for one, label in zip(x, y, strict=True))
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (
            ("cifar/data_batch_1.bin", records[: 40 * 3073]),
            ("cifar/test_batch.bin", records[40 * 3073 :]),
            ("cifar/batches.meta.txt", b"airplane\nautomobile\n"),
        ):
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    data, said = read([(path.name, path)], tmp_path)
    assert said["detection"]["layout"] == "cifar"
    assert data.classes == ("airplane", "automobile")
    assert (data.pixels == x).all()
    assert ((data.split == TEST) == (np.arange(60) >= 40)).all()


def test_pictures_when_turned_transparent_grey_or_of_16_bit_then_are_what_a_viewer_shows(tmp_path: Path):
    upright = np.zeros((6, 4), np.uint8)
    upright[0] = 200
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(upright)))
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    out = io.BytesIO()
    turned.save(out, "PNG", exif=exif)
    clear = np.zeros((6, 4, 4), np.uint8)  # black, fully transparent
    deep = np.full((6, 4), 257 * 77, np.uint16)
    plain = {f"b/{at}.png": encoded(np.full((6, 4), at, np.uint8)) for at in range(20)}
    members = plain | {"a/exif.png": out.getvalue(), "a/clear.png": encoded(clear), "a/deep.png": encoded(deep)}
    data, _ = read(zipped(tmp_path / "x.zip", members), tmp_path)
    by_name = {data.source[row].as_py(): data.pixels[row] for row in range(len(data))}
    assert data.pixels.shape[1:] == (6, 4, 3)  # one has colour, so all do
    assert (by_name["a/exif.png"] == upright[:, :, None]).all()
    assert (by_name["a/clear.png"] == 255).all()
    assert (by_name["a/deep.png"] == 77).all()


def test_pictures_when_of_several_sizes_then_resize_cuts_out_the_middle(tmp_path: Path):
    wide = np.zeros((8, 16), np.uint8)
    wide[:, 4:12] = 255
    members = {f"a/{at}.png": encoded(wide) for at in range(15)}
    members |= {f"b/{at}.png": encoded(np.full((32, 32, 3), 10 * at, np.uint8)) for at in range(15)}
    files = zipped(tmp_path / "x.zip", members)
    with pytest.raises(JobError, match="differ in size") as refused:
        read(files, tmp_path)
    assert refused.value.pointer == "/options/resize"
    assert "resize=8" in refused.value.hint
    data, _ = read(files, tmp_path, resize=8, channels="1")
    assert data.pixels.shape[1:] == (8, 8, 1)
    assert (data.pixels[data.label == 0] == 255).all()


def test_classes_when_ordered_by_number_then_2_comes_before_10(tmp_path: Path):
    members = {f"class {one}/{at}.png": encoded(np.full((4, 4), at, np.uint8)) for one in (2, 10) for at in range(12)}
    files = zipped(tmp_path / "x.zip", members)
    assert read(files, tmp_path)[0].classes == ("class 10", "class 2")
    assert read(files, tmp_path / "b", class_order="numeric")[0].classes == ("class 2", "class 10")


def test_floats_and_channels_first_when_uploaded_then_are_pixels(tmp_path: Path):
    x, y = digits(classes=2, each=20)
    colour = np.repeat((x / 255.0)[:, None], 3, axis=1).astype(np.float32)
    data, _ = read(saved(tmp_path, images=colour, labels=y), tmp_path)
    assert (data.pixels == x[..., None]).all()


X, Y = digits(classes=2, each=20)
BAD_ARRAYS: dict[str, tuple[dict[str, Any], str]] = {
    "one class": ({"x": X, "y": np.zeros(40, int)}, "one class"),
    "lengths": ({"x": X, "y": Y[:30]}, "40 images and y 30 labels"),
    "nan": ({"x": np.where(np.arange(40)[:, None, None] == 7, np.nan, X / 255), "y": Y}, r"x\[7\] holds NaN"),
    "standardised": ({"x": (X - 128.0) / 64, "y": Y}, "reach from -2"),
    "no labels": ({"x": X}, "no labels"),
    "nothing": ({"a": X}, "no images and labels"),
    "vectors": ({"x": X.reshape(40, -1), "y": Y}, "have the shape"),
    "few": ({"x": X[:10], "y": Y[:10]}, "has 10 images"),
    "objects": ({"x": X, "y": np.array([{}] * 40)}, "pickle"),
    "one-hot": ({"x": X, "y": np.eye(2)[Y]}, "have the shape"),
}


@pytest.mark.parametrize("name", list(BAD_ARRAYS))
def test_arrays_that_are_no_labelled_images_when_uploaded_then_are_refused_with_a_cure(name: str, tmp_path: Path):
    arrays, said = BAD_ARRAYS[name]
    with pytest.raises(JobError, match=said) as refused:
        read(saved(tmp_path, **arrays), tmp_path)
    assert refused.value.hint


def test_broken_picture_when_uploaded_then_is_named(tmp_path: Path):
    good = {f"{one}/{at}.png": encoded(np.full((4, 4), at, np.uint8)) for one in "ab" for at in range(12)}
    whole = encoded(np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8))
    for name, content in (("a/cut.png", whole[:-200]), ("a/text.png", b"no image"), ("a/empty.png", b"")):
        with pytest.raises(JobError, match=name):
            read(zipped(tmp_path / "x.zip", good | {name: content}), tmp_path)


def test_bomb_when_uploaded_then_is_refused_before_it_is_decoded(tmp_path: Path):
    good = {f"{one}/{at}.png": encoded(np.full((4, 4), at, np.uint8)) for one in "ab" for at in range(12)}
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    with pytest.raises(JobError, match="too large") as refused:
        read(zipped(tmp_path / "x.zip", good | {"a/bomb.png": bomb.getvalue()}), tmp_path)
    assert refused.value.hint
    with pytest.raises(JobError) as refused:
        read(zipped(tmp_path / "y.zip", good), tmp_path, {"decoded_bytes": 1_000})
    assert refused.value.code == "decoded_too_large"


def test_folders_that_tell_no_class_when_uploaded_then_the_layout_is_shown(tmp_path: Path):
    picture = encoded(np.zeros((4, 4), np.uint8))
    for members in ({f"{at}.png": picture for at in range(30)}, {f"a/b/c/{at}.png": picture for at in range(30)}):
        with pytest.raises(JobError, match=r"one class|lies in no folder") as refused:
            read(zipped(tmp_path / "x.zip", members), tmp_path)
        assert refused.value.hint
    members = {f"{one}/{two}/{at}.png": picture for one in "xy" for two in "ab" for at in range(9)}
    files = zipped(tmp_path / "x.zip", members)
    with pytest.raises(JobError, match="deeper"):
        read(files, tmp_path)


def test_pickles_of_cifar_when_uploaded_then_the_binary_version_is_named(tmp_path: Path):
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x02}q\x01(U\x0bbatch_labelq\x02.")
    with pytest.raises(JobError, match="pickle") as refused:
        read([("data_batch_1", tmp_path / "data_batch_1")], tmp_path)
    assert refused.value.code == "unsafe_format"
    assert "binary version" in refused.value.hint


def test_idx_when_cut_or_alone_or_of_another_type_then_is_refused(tmp_path: Path):
    files = dict(uploads.idx(tmp_path))
    images = files["train-images-idx3-ubyte.gz"]
    with pytest.raises(JobError, match="no labels beside it"):
        read([("train-images-idx3-ubyte.gz", images)], tmp_path)
    swapped = [("train-labels-idx1-ubyte.gz", images), ("train-images-idx3-ubyte.gz", images)]
    with pytest.raises(JobError, match="00000803"):
        read(swapped, tmp_path)
    images.write_bytes(__import__("gzip").compress(__import__("gzip").decompress(images.read_bytes())[:-10]))
    with pytest.raises(JobError, match="10 bytes early"):
        read(list(files.items()), tmp_path)


def test_parquet_without_bytes_when_uploaded_then_says_so(tmp_path: Path):
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = pa.array([{"bytes": None, "path": "http://x/a.png"}] * 30, kind)
    parquet.write_table(pa.table({"image": rows, "label": [0, 1] * 15}), tmp_path / "train.parquet")
    with pytest.raises(JobError, match="no image, perhaps only a path"):
        read([("train.parquet", tmp_path / "train.parquet")], tmp_path)
    parquet.write_table(pa.table({"url": ["a"] * 30, "label": [0, 1] * 15}), tmp_path / "train.parquet")
    with pytest.raises(JobError, match="no column of images") as refused:
        read([("train.parquet", tmp_path / "train.parquet")], tmp_path)
    assert refused.value.pointer == "/columns/image"


def test_index_that_names_a_missing_picture_when_uploaded_then_the_row_is_named(tmp_path: Path):
    picture = encoded(np.zeros((4, 4), np.uint8))
    files = zipped(tmp_path / "x.zip", {"a.png": picture, "index.csv": b"filepath,label\na.png,0\nb.png,1\n"})
    with pytest.raises(JobError, match=r"'b.png' in row 2"):
        read(files, tmp_path)


def test_table_that_names_no_pictures_when_it_lies_beside_folders_then_is_passed_over(tmp_path: Path):
    members = {f"{one}/{at}.png": encoded(np.full((4, 4), at, np.uint8)) for one in "ab" for at in range(12)}
    files = zipped(tmp_path / "x.zip", members | {"notes.csv": b"class,meaning\na,first\nb,second\n"})
    data, said = read(files, tmp_path)
    assert said["detection"]["layout"] == "folder"
    assert said["detection"]["ignored"] == ["notes.csv"]
    assert data.classes == ("a", "b")


def test_files_when_one_is_named_then_only_it_is_read(tmp_path: Path):
    np.savez(tmp_path / "other.npz", x=X[:20], y=Y[:20])
    files = [*saved(tmp_path, x=X, y=Y), ("other.npz", tmp_path / "other.npz")]
    assert len(read(files, tmp_path / "a", file="images*")[0]) == 40
    with pytest.raises(JobError, match="2 npz files"):
        read(files, tmp_path / "b")
    with pytest.raises(JobError, match="No file matches") as refused:
        read(files, tmp_path / "c", file="*.zip")
    assert refused.value.pointer == "/options/file"


def test_test_images_that_are_training_images_too_when_uploaded_then_leakage_is_warned_of(tmp_path: Path):
    files = saved(tmp_path, x_train=X, y_train=Y, x_test=X[:5], y_test=Y[:5])
    _, said = read(files, tmp_path)
    assert any("leakage" in warning for warning in said["warnings"])


def test_upload_without_test_images_when_ingested_then_a_fifth_is_drawn_and_said(tmp_path: Path):
    data, said = read(saved(tmp_path, x_train=X, y_train=Y), tmp_path)
    assert (data.split == TEST).sum() == 8
    assert any("no test images" in warning for warning in said["warnings"])
