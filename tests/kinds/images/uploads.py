"""The digits in every form of upload, and what reading one gives."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

from tests.kinds.images.tiny import digits
from worker.contract.context import Context
from worker.kinds.images import KIND
from worker.kinds.images.dataset import Images

Files = list[tuple[str, Path]]


def read(files: Files, folder: Path, limits: dict[str, int] | None = None, **options: Any) -> tuple[Images, dict]:
    """The dataset of an upload, and what ingest said."""
    said = KIND.ingest.run(files, options, folder / "canonical", Context(), limits or {})
    return KIND.load(folder / "canonical"), said


def encoded(pixels: np.ndarray, form: str = "PNG", **more: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, form, **more)
    return out.getvalue()


def zipped(path: Path, members: dict[str, bytes]) -> Files:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return [(path.name, path)]


def two_parts() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images and classes of a part for training and one for testing."""
    x, y = digits(classes=3, each=40)
    return {"train": (x[:90], y[:90]), "test": (x[90:], y[90:])}


def npz(folder: Path) -> Files:
    parts = two_parts()
    arrays = {f"{name}_{part}": value for part, xy in parts.items() for name, value in zip("xy", xy, strict=True)}
    np.savez(folder / "digits.npz", **arrays)
    return [("digits.npz", folder / "digits.npz")]


def image_folder(folder: Path) -> Files:
    members = {
        f"digits/{part}/{label}/{at:03d}.png": encoded(pixels)
        for part, (x, y) in two_parts().items()
        for at, (pixels, label) in enumerate(zip(x, y, strict=True))
    }
    return zipped(folder / "digits.zip", members)


def idx(folder: Path) -> Files:
    files: Files = []
    for part, (x, y) in two_parts().items():
        word = "t10k" if part == "test" else "train"
        images = struct.pack(">IIII", 0x803, *x.shape) + x.tobytes()
        labels = struct.pack(">II", 0x801, len(y)) + y.astype(np.uint8).tobytes()
        for name, content in ((f"{word}-images-idx3-ubyte", images), (f"{word}-labels-idx1-ubyte", labels)):
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            files.append((f"{name}.gz", folder / f"{name}.gz"))
    return files


def hugging_face(folder: Path) -> Files:
    files: Files = []
    names = json.dumps({"info": {"features": {"label": {"names": ["0", "1", "2"], "_type": "ClassLabel"}}}})
    for part, (x, y) in two_parts().items():
        pictures = [{"bytes": encoded(pixels), "path": None} for pixels in x]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = pa.table({"image": pa.array(pictures, kind), "label": pa.array(y, pa.int64())})
        name = f"{part}-00000-of-00001.parquet"
        parquet.write_table(table.replace_schema_metadata({"huggingface": names}), folder / name)
        files.append((name, folder / name))
    return files


def index(folder: Path) -> Files:
    members: dict[str, bytes] = {}
    lines = ["filepath,label,split"]
    for part, (x, y) in two_parts().items():
        for at, (pixels, label) in enumerate(zip(x, y, strict=True)):
            members[f"pictures/{part}{at:03d}.png"] = encoded(pixels)
            lines.append(f"pictures/{part}{at:03d}.png,{label},{part}")
    return zipped(folder / "digits.zip", members | {"index.csv": "\n".join(lines).encode()})


def pixel_csv(folder: Path) -> Files:
    files: Files = []
    for part, (x, y) in two_parts().items():
        lines = ["label," + ",".join(f"pixel{at}" for at in range(64))]
        lines += [f"{label}," + ",".join(map(str, pixels.ravel())) for pixels, label in zip(x, y, strict=True)]
        (folder / f"digits_{part}.csv").write_text("\n".join(lines))
        files.append((f"digits_{part}.csv", folder / f"digits_{part}.csv"))
    return files


FORMS: dict[str, Callable[[Path], Files]] = {
    "npz": npz, "folder": image_folder, "idx": idx, "parquet": hugging_face, "index": index, "pixels": pixel_csv,
}  # fmt: skip
