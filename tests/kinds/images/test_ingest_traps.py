"""Uploads that are nearly right: read as they are meant, or refused with what is wrong; never read wrongly without a
word."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.kinds.images import uploads
from tests.kinds.images.tiny import digits
from tests.kinds.images.uploads import encoded, read, zipped
from worker.contract.errors import JobError
from worker.kinds.images.dataset import TEST, TRAIN, VALIDATION, Images
from worker.kinds.images.upload import arrays

X, Y = digits(classes=2, each=20)
PICTURES = [encoded(one) for one in X]


def saved(folder: Path, **named: Any) -> uploads.Files:
    np.savez(folder / "images.npz", **named)
    return [("images.npz", folder / "images.npz")]


def named_as(data: Images) -> list[str]:
    assert data.source is not None
    return data.source.to_pylist()


def refusal(files: uploads.Files, folder: Path, **options: Any) -> JobError:
    with pytest.raises(JobError) as refused:
        read(files, folder, **options)
    assert refused.value.hint
    return refused.value


def table_of_pixels(folder: Path, values: np.ndarray, labels: Any, name: str = "pixels.csv") -> uploads.Files:
    lines = ["label," + ",".join(f"pixel{at}" for at in range(values.shape[1]))]
    lines += [f"{label}," + ",".join(map(str, row)) for row, label in zip(values, labels, strict=True)]
    (folder / name).write_text("\n".join(lines))
    return [(name, folder / name)]


def indexed(folder: Path, lines: list[str], paths: list[str], table: str = "index.csv") -> uploads.Files:
    members = dict(zip(paths, PICTURES, strict=False))
    return zipped(folder / "x.zip", members | {table: "\n".join(lines).encode()})


DARK = np.concatenate([np.ones((10, 8, 8)), np.full((10, 8, 8), 255.0), np.full((20, 8, 8), 100.0)])
NUMBERS: dict[str, tuple[np.ndarray, int, int]] = {  # numbers, and what the first and the last image become
    "floats of 0 to 255 that begin dark": (DARK, 1, 100),
    "floats of 0 to 1": (DARK / 255, 1, 100),
    "floats of 0 to 1 with rounding": ((DARK / 255 * 1.0000003).astype(np.float32), 1, 100),
    "16 bit that begin dark": ((DARK * 200).astype(np.uint16), 1, 78),
    "whole numbers of 64 bit": (DARK.astype(np.int64), 1, 100),
    "yes and no": (np.arange(40)[:, None, None].repeat(64, 1).reshape(40, 8, 8) > 0, 0, 255),
}


@pytest.mark.parametrize("name", list(NUMBERS))
def test_numbers_when_read_in_pieces_then_all_by_one_rule(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(arrays, "_PIECE_VALUES", 5 * 64)
    x, first, last = NUMBERS[name]
    data, _ = read(saved(tmp_path, x=x, y=Y), tmp_path)
    assert data.pixels[0].max() == first
    assert data.pixels[-1].max() == last


WRONG_NUMBERS: dict[str, tuple[dict[str, Any], str]] = {
    "floats that end a little above 1": ({"x": np.linspace(0, 1.02, 40 * 64).reshape(40, 8, 8), "y": Y}, "to 1.02"),
    "one image out of range": (
        {"x": np.where(np.arange(40)[:, None, None] == 33, 300, X.astype(int)), "y": Y},
        r"x\[33\]",
    ),
    "single pixels": ({"x": X[:, :1, :1], "y": Y}, "a single pixel"),
    "no height": ({"x": np.zeros((40, 0, 8), np.uint8), "y": Y}, "have the shape"),
    "labels beyond whole numbers": ({"x": X, "y": Y * 1e300}, r"reach 1e\+300"),
    "labels beyond 64 bit": ({"x": X, "y": Y.astype(np.uint64) + np.uint64(2**63)}, "reach 9.22"),
    "labels in no encoding": ({"x": X, "y": np.array([b"\xff\xfe", b"\xff\xfd"])[Y]}, "no text in UTF-8"),
    "labels left blank": ({"x": X, "y": np.where(np.arange(40) == 7, "", "a")}, r"x\[7\] has no label"),
}


@pytest.mark.parametrize("name", list(WRONG_NUMBERS))
def test_arrays_that_cannot_be_meant_when_uploaded_then_are_refused(name: str, tmp_path: Path):
    named, said = WRONG_NUMBERS[name]
    with pytest.raises(JobError, match=said) as refused:
        read(saved(tmp_path, **named), tmp_path)
    assert refused.value.hint


def test_arrays_for_development_when_uploaded_then_validate_and_others_are_named(tmp_path: Path):
    data, said = read(saved(tmp_path, x=X, y=Y, x_dev=X[:6], y_dev=Y[:6], x_test=X[:4], y_test=Y[:4], w=Y), tmp_path)
    assert [int((data.split == part).sum()) for part in (TRAIN, VALIDATION, TEST)] == [40, 6, 4]
    assert said["detection"]["ignored"] == ["images.npz['w']"]
    assert any("images.npz['w']" in warning for warning in said["warnings"])


def test_table_of_pixels_when_its_end_is_dark_then_is_read_as_its_beginning(tmp_path: Path):
    values = np.tile(np.array([0, 1, 1, 0]), (40, 1))
    values[:30, 0] = 255
    data, _ = read(table_of_pixels(tmp_path, values, Y), tmp_path / "whole")
    assert data.pixels[-1].max() == 1
    binary, _ = read(table_of_pixels(tmp_path, values.clip(0, 1), Y), tmp_path / "binary")
    assert binary.pixels[-1].max() == 255  # 0 and 1 alone are black and white


@pytest.mark.parametrize(
    ("labels", "classes"),
    [(("--1", "2"), ("--1", "2")), (("²", "2"), ("2", "²")), (("01", "1"), ("01", "1")),
     ((10**20, 10**20 + 1), (str(10**20), str(10**20 + 1))), ((10, -2), ("-2", "10"))],
)  # fmt: skip
def test_labels_of_pixels_when_no_plain_numbers_then_are_words(
    labels: tuple[Any, Any], classes: tuple[str, str], tmp_path: Path
):
    data, _ = read(table_of_pixels(tmp_path, X.reshape(40, -1), [labels[one] for one in Y]), tmp_path)
    assert data.classes == classes


def test_table_of_pixels_when_a_label_is_blank_then_is_refused(tmp_path: Path):
    files = table_of_pixels(tmp_path, X.reshape(40, -1), ["" if at == 7 else at % 2 for at in range(40)])
    assert "pixels.csv[7] has no label" in refusal(files, tmp_path).detail


@pytest.mark.parametrize("where", ["folder of the table", "folder of the pictures", "column"])
def test_index_when_its_split_stands_anywhere_then_is_heeded(where: str, tmp_path: Path):
    paths = [f"{'test' if at % 4 == 0 else 'train'}/{at}.png" for at in range(40)]
    if where == "folder of the table":  # as `datasets` has it
        members = dict(zip(paths, PICTURES, strict=True))
        for part in ("train", "test"):
            lines = [f"{at}.png,{at % 2}" for at, path in enumerate(paths) if path.startswith(part)]
            members[f"{part}/metadata.csv"] = "\n".join(["file_name,label", *lines]).encode()
        files = zipped(tmp_path / "x.zip", members)
    else:
        column = where == "column"
        lines = [f"{path},{at % 2}" + f",{path.split('/')[0]}" * column for at, path in enumerate(paths)]
        files = indexed(tmp_path, ["filepath,label" + ",split" * column, *lines], paths)
    data, said = read(files, tmp_path)
    assert (said["detection"]["layout"], data.classes) == ("index", ("0", "1"))
    assert {named_as(data)[at].split("/")[0] for at in np.flatnonzero(data.split == TEST)} == {"test"}
    assert (data.split == TEST).sum() == 10


def test_index_when_its_split_has_unknown_words_then_they_are_named_and_the_cure_works(tmp_path: Path):
    paths = [f"p/{at}.png" for at in range(40)]
    lines = [f"{path},{at % 2},{int(at > 30)}" for at, path in enumerate(paths)]
    files = indexed(tmp_path, ["filepath,label,split", *lines], paths)
    refused = refusal(files, tmp_path)
    assert ("'0'" in refused.detail, refused.pointer) == (True, "/columns/split")
    assert (read(files, tmp_path / "b", split="random")[0].split == TEST).sum() == 8


def test_index_when_a_path_may_be_two_pictures_then_neither_is_taken(tmp_path: Path):
    paths = [f"{folder}/{at}.png" for folder in "pq" for at in range(20)]
    refused = refusal(
        indexed(tmp_path, ["filepath,label", *(f"r/{at}.png,{at % 2}" for at in range(20))], paths), tmp_path
    )
    assert "'r/0.png' in row 1, which p/0.png and q/0.png may be" in refused.detail


def test_index_when_uploaded_alone_or_with_a_blank_label_then_the_row_is_named(tmp_path: Path):
    lines = ["filepath,label", *(f"p/{at}.png,{at % 2 if at != 9 else ''}" for at in range(40))]
    (tmp_path / "index.csv").write_text("\n".join(lines))
    assert "'p/0.png' in row 1, which is not" in refusal([("index.csv", tmp_path / "index.csv")], tmp_path).detail
    assert (
        "p/9.png has no label"
        in refusal(indexed(tmp_path, lines, [f"p/{at}.png" for at in range(40)]), tmp_path).detail
    )


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_index_when_written_as_excel_does_then_is_recognised(encoding: str, tmp_path: Path):
    lines = ["filepath,label", *(f"p/{at}.png,{at % 2}" for at in range(40))]
    members = {f"p/{at}.png": one for at, one in enumerate(PICTURES)}
    data, said = read(zipped(tmp_path / "x.zip", members | {"i.csv": "\n".join(lines).encode(encoding)}), tmp_path)
    assert (said["detection"]["layout"], data.classes) == ("index", ("0", "1"))


def test_index_that_leaves_pictures_out_when_uploaded_then_they_are_counted(tmp_path: Path):
    lines = ["filepath,label", *(f"p/{at}.png,{at % 2}" for at in range(30))]
    _, said = read(indexed(tmp_path, lines, [f"p/{at}.png" for at in range(40)]), tmp_path)
    assert any(warning.startswith("10 files") and "p/30.png" in warning for warning in said["warnings"])


def test_tables_of_pixels_in_folders_of_a_split_when_uploaded_then_are_for_these(tmp_path: Path):
    (name, path) = table_of_pixels(tmp_path, X.reshape(40, -1), Y)[0]
    files = zipped(tmp_path / "x.zip", {f"{part}/{name}": path.read_bytes() for part in ("train", "test")})
    assert (read(files, tmp_path)[0].split == TEST).sum() == 40


def test_folders_that_are_all_parts_of_a_split_when_uploaded_then_are_no_classes(tmp_path: Path):
    files = zipped(tmp_path / "x.zip", {f"{('train', 'test')[at % 2]}/{at}.png": PICTURES[at] for at in range(40)})
    assert "test, train are parts of a split" in refusal(files, tmp_path).detail


@pytest.mark.parametrize("suffix", ["gif", "TIFF"])
def test_picture_of_a_form_that_is_not_read_when_uploaded_then_is_not_left_out(suffix: str, tmp_path: Path):
    members = {f"{'ab'[at % 2]}/{at}.png": PICTURES[at] for at in range(40)}
    files = zipped(tmp_path / "x.zip", members | {f"c/film.{suffix}": encoded(X[0], "GIF")})
    assert f"c/film.{suffix}" in refusal(files, tmp_path).detail
    bad = zipped(tmp_path / "y.zip", members | {"a/film.png": encoded(X[0], "GIF"), "a/none.png": b""})
    assert refusal(bad, tmp_path).detail == (
        "a/film.png is no image that can be read: it is not PNG, JPEG, BMP or WebP, whatever its name."
    )


def test_names_of_classes_when_written_in_two_ways_then_are_one_class(tmp_path: Path):
    members = {f"train\\caf\u00e9\\{at}.png": PICTURES[at] for at in range(20)}  # as old tools of Windows write paths
    members |= {f"test\\cafe\u0301\\{at}.png": PICTURES[at] for at in range(20, 30)}
    members |= {f"{('train', 'test')[at % 2]}\\tea\\{at}.png": PICTURES[at] for at in range(30, 40)}
    data, _ = read(zipped(tmp_path / "x.zip", members), tmp_path)
    assert data.classes == ("caf\u00e9", "tea")
    assert (data.split == TEST).sum() == 15


def test_strip_when_resized_then_its_middle_is_taken_without_scaling_the_rest(tmp_path: Path):
    strip = np.zeros((2, 1_000_000), np.uint8)
    strip[:, 499_990:500_010] = 200
    members = {
        f"{'ab'[at % 2]}/{at}.png": encoded(strip if at == 5 else np.full((9, 7), at, np.uint8)) for at in range(30)
    }
    data, _ = read(zipped(tmp_path / "x.zip", members), tmp_path, resize=64)
    by_name = dict(zip(named_as(data), data.pixels, strict=True))
    assert (by_name["b/5.png"] == 200).all()
    assert (by_name["a/8.png"] == 8).all()


@pytest.mark.parametrize("names", [["a", "b"], ["b", "a"], ["a", "a"]])
def test_parquet_when_its_files_name_classes_differently_then_is_refused(names: list[str], tmp_path: Path):
    files: uploads.Files = []
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    pictures = pa.array([{"bytes": one, "path": None} for one in PICTURES], kind)
    for part, own in (("test", ["a", "b"] if names != ["a", "a"] else names), ("train", names)):
        about = json.dumps({"info": {"features": {"label": {"names": own}}}})
        table = pa.table({"image": pictures, "label": pa.array(Y)}).replace_schema_metadata({"huggingface": about})
        parquet.write_table(table, tmp_path / f"{part}.parquet")
        files.append((f"{part}.parquet", tmp_path / f"{part}.parquet"))
    if names == ["a", "b"]:
        assert read(files, tmp_path)[0].classes == ("a", "b")
        return
    said = "name classes differently: a, b; and b, a" if names == ["b", "a"] else "'a' stands for several classes"
    assert said in refusal(files, tmp_path).detail


def test_classes_of_two_images_when_uploaded_then_says_that_nothing_can_be_measured(tmp_path: Path):
    _, said = read(saved(tmp_path, x=X, y=np.arange(40) // 2), tmp_path)
    assert any("No test image could be held out" in warning for warning in said["warnings"])
    _, some = read(saved(tmp_path, x=X, y=np.r_[np.zeros(38, int), 1, 1]), tmp_path / "some")
    assert any("1 of 2 classes have no test image, such as '1'" in warning for warning in some["warnings"])


def test_equal_images_in_two_classes_and_dark_ones_when_uploaded_then_are_warned_of(tmp_path: Path):
    x = np.concatenate([X[:20], X[:19], X[39:]]) // 16
    _, said = read(saved(tmp_path, x=x, y=np.repeat([0, 1], 20)), tmp_path)
    assert "19 images are in several classes: no network can tell these right." in said["warnings"]
    assert any("No pixel is brighter than 15 of 255" in warning for warning in said["warnings"])


def test_grey_of_16_bit_with_a_transparent_value_when_uploaded_then_it_is_white(tmp_path: Path):
    deep = np.full((4, 4), 1000, np.uint16)
    deep[0] = 257 * 9
    members = {f"{'ab'[at % 2]}/{at}.png": encoded(np.full((4, 4), at, np.uint8)) for at in range(30)}
    files = zipped(tmp_path / "x.zip", members | {"a/deep.png": encoded(deep, transparency=1000)})
    data, _ = read(files, tmp_path)
    at = named_as(data).index("a/deep.png")
    assert (data.pixels[at, :, 0, 0] == [9, 255, 255, 255]).all()
