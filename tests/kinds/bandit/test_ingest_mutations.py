"""Uploads with bytes changed at random: they are read, or refused with a reason; nothing else ever happens."""

from __future__ import annotations

import io
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from tests.kinds.bandit.uploads import columns, upload, write_csv
from tests.planted_bandit import planted_files
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.kinds.bandit import canonical
from worker.kinds.bandit.ingest import ingest

SMALL = {"decoded_bytes": 50_000_000, "rows": 1_000_000}


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A few bytes replaced, a piece cut out, or a number in the text changed."""
    changed = bytearray(data)
    how = rng.integers(3)
    if how == 0:
        for at in rng.integers(0, len(changed), rng.integers(1, 6)):
            changed[at] = rng.integers(256)
    elif how == 1:
        start = int(rng.integers(len(changed)))
        del changed[start : start + int(rng.integers(1, 200))]
    else:
        digits = [at for at in rng.integers(0, len(changed), 2000).tolist() if chr(changed[at]).isdigit()]
        for at in digits[:4]:
            changed[at] = ord(str(rng.choice(list("0123456789-e.n"))))
    return bytes(changed)


def repacked(data: bytes, rng: np.random.Generator) -> bytes:
    """An npz with one member changed and its checksum right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = list(members)[int(rng.integers(len(members)))]
    members[name] = mutated(members[name], rng)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return stream.getvalue()


def written(folder: Path, form: str) -> list[tuple[str, Path]]:
    if form == "npz":
        return planted_files(folder, rounds=80)
    write_csv(folder / "log.csv", columns(80))
    matrix = sparse.random_array((80, 12), density=0.3, format="csr", rng=np.random.default_rng(0)) + sparse.eye_array(
        80, 12
    )
    matrix = sparse.csr_array(matrix + sparse.csr_array((np.ones(80), (np.arange(80), np.zeros(80, int))), (80, 12)))
    matrix.data /= np.repeat(matrix.sum(axis=1), np.diff(matrix.indptr))
    sparse.save_npz(folder / "target_policy.npz", matrix, compressed=False)
    rounds, actions = np.divmod(np.arange(960), 12)
    actions += form == "vw"  # which counts from one
    write_csv(folder / "target_policy_b.csv", {"round": rounds, "action": actions, "prob": np.full(960, 1 / 12)})
    if form == "vw":
        (folder / "log.csv").unlink()
        lines = [f"{k % 12 + 1}:{k % 2}:0.25 |u age:{k % 4} c{k % 3}" for k in range(80)]
        (folder / "log.txt").write_text("\n".join(lines) + "\n")
    return [(path.name, path) for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("form", ["npz", "csv", "vw"])
def test_ingest_when_bytes_are_changed_then_read_or_refused(tmp_path: Path, form: str) -> None:
    sources = written(upload(tmp_path), form)
    rng = np.random.default_rng(0)
    ends = {"read": 0, "refused": 0}
    for _ in range(40):
        _, path = sources[int(rng.integers(len(sources)))]
        original = path.read_bytes()
        inside = path.suffix == ".npz" and rng.random() < 0.8
        path.write_bytes(repacked(original, rng) if inside else mutated(original, rng))
        out = upload(tmp_path, "out")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # zipfile warns of odd names
                ingest(sources, {"estimate_propensity": True}, out, Context(), SMALL)
            canonical.load(out)
            ends["read"] += 1
        except JobError:
            ends["refused"] += 1
        path.write_bytes(original)
        shutil.rmtree(out)
    assert min(ends.values()) > 0
