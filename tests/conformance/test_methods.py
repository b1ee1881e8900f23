"""What every registered method must keep, asked of each by itself; a new method is covered when it is registered."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch

from tests.conformance.tiny import read_by_its_loader, tiny
from worker.contract.context import Context
from worker.contract.errors import Cancelled
from worker.evidence.report import build
from worker.runtime.attempt import DELIVERING
from worker.runtime.catalogue import catalogue
from worker.runtime.registry import Method, discover, load_kind

METHODS = discover()
MAKERS = [key for key, method in METHODS.items() if method.task in DELIVERING]
ASKERS = [
    key
    for key, method in METHODS.items()
    if method.task not in DELIVERING and all(name.endswith("?") for name in method.inputs)
]
CPU_LIMIT_S = 20.0


class Interrupted(Context):
    """Stops at the `at`-th report of progress, as if its process were told to go."""

    def __init__(self, at: int, **given: Any) -> None:
        super().__init__(**given)
        self.reports = 0
        self.at = at
        self.stopped_at: float | None = None

    def report_progress(self, *_: object) -> None:
        self.reports += 1
        if self.reports == self.at:
            self.stop()
            self.stopped_at = time.monotonic()


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: tiny(kind, tmp_path_factory.mktemp(kind)) for kind in {kind for kind, _ in METHODS}}


@pytest.fixture(scope="module")
def finished(folders) -> dict[tuple[str, str], tuple[str, float, int]]:
    """Hash of the bundle, CPU seconds and number of progress reports of each method's run with its defaults."""
    return {}


def run(method: Method, folder: Path, ctx: Context, out: Path) -> str:
    kind = load_kind(method.kind)
    data = kind.load(folder)
    summary = method.run(data, method.params(), ctx)
    kind.write_bundle(data, summary, out)
    return bundle_hash(out)


def bundle_hash(folder: Path) -> str:
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()


def undisturbed(key, folders, finished, tmp_path_factory) -> tuple[str, float, int]:
    if key not in finished:
        counter, started = Interrupted(at=-1, seed=7), time.process_time()
        out = tmp_path_factory.mktemp("bundle")
        finished[key] = (
            run(METHODS[key], folders[key[0]], counter, out),
            time.process_time() - started,
            counter.reports,
        )
        METHODS_OUT[key] = out
    return finished[key]


METHODS_OUT: dict[tuple[str, str], Path] = {}


@pytest.mark.parametrize("row", catalogue(), ids=lambda row: f"{row['kind']}/{row['name']}")
def test_announcement_is_json_with_valid_schemas_and_described_parameters(row):
    row = json.loads(json.dumps(row))
    assert row["summary"]
    for name in ("params_schema", "evaluate_schema"):
        jsonschema.Draft202012Validator.check_schema(row[name])
    for name, field in row["params_schema"].get("properties", {}).items():
        assert field.get("description"), f"parameter {name} is not described"
        if "default" in field:
            jsonschema.Draft202012Validator({**row["params_schema"], "required": []}).validate({name: field["default"]})


@pytest.mark.parametrize("key", MAKERS, ids="/".join)
def test_defaults_when_run_on_the_tiny_dataset_then_finish_in_time(key, folders, finished, tmp_path_factory):
    assert undisturbed(key, folders, finished, tmp_path_factory)[1] < CPU_LIMIT_S


@pytest.mark.parametrize("key", MAKERS, ids="/".join)
def test_same_seed_when_run_twice_then_gives_the_same_bytes(key, folders, finished, tmp_path_factory, tmp_path):
    expected = undisturbed(key, folders, finished, tmp_path_factory)[0]
    assert run(METHODS[key], folders[key[0]], Context(seed=7), tmp_path / "out") == expected


@pytest.mark.parametrize("key", MAKERS, ids="/".join)
def test_resumed_when_stopped_on_the_way_then_gives_the_same_bytes(key, folders, finished, tmp_path_factory, tmp_path):
    expected, _, reports = undisturbed(key, folders, finished, tmp_path_factory)
    ctx = Interrupted(at=max(1, reports // 2), seed=7)
    with pytest.raises(Cancelled):
        run(METHODS[key], folders[key[0]], ctx, tmp_path / "never")
    resumed = Context(seed=7)
    if (point := ctx.restore()) is not None:
        state = json.loads(json.dumps(point.state))  # what a checkpoint on disk would keep
        resumed.save_checkpoint(type(point)(point.step, {name: np.array(a) for name, a in point.arrays.items()}, state))
    assert run(METHODS[key], folders[key[0]], resumed, tmp_path / "out") == expected


@pytest.mark.parametrize("key", MAKERS, ids="/".join)
def test_cancel_when_asked_for_then_obeyed_within_two_seconds(key, folders):
    method = METHODS[key]
    data = load_kind(method.kind).load(folders[key[0]])
    ctx = Interrupted(at=1, seed=7)
    with pytest.raises(Cancelled):
        method.run(data, method.params(), ctx)
    assert ctx.stopped_at is not None
    assert time.monotonic() - ctx.stopped_at < 2.0


@pytest.mark.parametrize("key", MAKERS, ids="/".join)
def test_loader_when_run_alone_then_reads_what_was_delivered(key, folders, finished, tmp_path_factory):
    undisturbed(key, folders, finished, tmp_path_factory)
    out = METHODS_OUT[key]
    line, expected = read_by_its_loader(key[0], out)
    code = f"import sys; sys.path.insert(0, {str(out)!r}); {line}"
    said = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    assert float(said) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("key", MAKERS, ids="/".join)
def test_memory_when_run_with_defaults_then_stays_below_what_is_declared(key, folders):
    code = (
        "import resource, sys, pathlib\n"
        "from worker.runtime.registry import discover, load_kind\n"
        "from worker.contract.context import Context\n"
        f"method = discover()[{key!r}]; kind = load_kind({key[0]!r})\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "method.run(kind.load(pathlib.Path(sys.argv[1])), method.params(), Context(seed=7))\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", code, str(folders[key[0]])], capture_output=True, text=True, check=True
    )
    assert float(said.stdout.split()[-1]) < METHODS[key].memory_mb


@pytest.mark.parametrize("key", ASKERS, ids="/".join)
def test_findings_when_asked_twice_then_are_the_same_and_in_time(key, folders):
    method = METHODS[key]
    data = load_kind(method.kind).load(folders[key[0]])
    started = time.process_time()
    found, again = (method.run(data, method.params(), Context(seed=7)) for _ in range(2))
    assert (time.process_time() - started) / 2 < CPU_LIMIT_S
    job = {"method": method.name, "task": method.task, "kind": method.kind}
    assert build(found, job).json_text() == build(again, job).json_text()
    assert found.files == again.files


@pytest.mark.parametrize("key", ASKERS, ids="/".join)
def test_findings_when_cancelled_then_stop_within_two_seconds(key, folders):
    method = METHODS[key]
    data = load_kind(method.kind).load(folders[key[0]])
    ctx = Interrupted(at=1, seed=7)
    with pytest.raises(Cancelled):
        method.run(data, method.params(), ctx)
    assert ctx.stopped_at is not None
    assert time.monotonic() - ctx.stopped_at < 2.0
