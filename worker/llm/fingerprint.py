"""A hash of a checkpoint directory: another one whenever a model in it would answer otherwise."""

from __future__ import annotations

import hashlib
from pathlib import Path

_WHOLE_BYTES = 64_000_000
_SAMPLES, _SAMPLE_BYTES = 64, 256_000
_READ = {".json", ".safetensors", ".model", ".txt", ".jinja"}


def fingerprint(folder: Path) -> str:
    """Of names, sizes and contents of the files that transformers reads.

    Of a file above 64 MB, 64 stretches spread evenly stand for the whole: training changes weights everywhere.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in _READ):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            if size <= _WHOLE_BYTES:
                digest.update(file.read())
                continue
            for at in range(_SAMPLES):
                file.seek((size - _SAMPLE_BYTES) * at // (_SAMPLES - 1))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()
