"""Selections of documents are the same files whichever executor maps the passes, and whoever dies meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from tests.conformance.work import hash_of_files
from tests.kinds.text.planted import jsonl, records
from worker.contract.context import Context
from worker.contract.executor import Executor, InProcess
from worker.executor.local import Local
from worker.executor.ray import Ray
from worker.kinds.text.dataset import Corpus, load
from worker.kinds.text.embedding import pieces, vectors
from worker.kinds.text.ingest import ingest
from worker.kinds.text.methods.density import DensityParams, density

needs_ray = [
    pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed"),
    pytest.mark.slow,
    pytest.mark.timeout(900),
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    ingest([("documents.jsonl", jsonl(folder / "documents.jsonl", records(400)))], {}, folder, Context(), {})
    return load(folder)


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small corpus takes many of them."""
    monkeypatch.setattr(vectors, "BLOCK", 100)
    monkeypatch.setattr(pieces, "_RUN", 100)


@pytest.fixture
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    executor: Executor = Local(2) if request.param == "local" else Ray(2)
    yield executor
    executor.close()


def selected(corpus: Corpus, folder: Path, ctx: Context) -> str:
    """The hash of all files of a density selection."""
    folder.mkdir()
    params = DensityParams.model_validate({"k": 40, "rows": 64, "range": 1024, "dimension": 16})
    density(corpus, params, ctx).write(folder, corpus)
    return hash_of_files(folder)


@pytest.fixture(scope="module")
def undisturbed(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> str:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(vectors, "BLOCK", 100)
        patched.setattr(pieces, "_RUN", 100)
        return selected(corpus, tmp_path_factory.mktemp("files") / "here", Context(seed=3, executor=InProcess()))


class Killed(Context):
    """Kills one of the processes that map, at the first report of the pass that counts into the sketch."""

    killed: list[int]

    def report_progress(self, step: int, total: int, phase: str, *_: object, **__: object) -> None:
        if phase == "density sketch" and total > 2 and step > 0 and not self.killed:
            mapping = [
                one
                for one in psutil.Process().children(recursive=True)
                if "worker.executor.process" in one.cmdline() or one.name().startswith("ray::Actor")
            ]
            self.killed = [mapping[0].pid]
            os.kill(mapping[0].pid, signal.SIGKILL)


@pytest.mark.parametrize("executor", ["local", pytest.param("ray", marks=needs_ray)], indirect=True)
def test_density_when_processes_map_and_one_is_killed_then_the_files_are_the_same(
    corpus: Corpus, undisturbed: str, executor: Executor, tmp_path: Path
) -> None:
    ctx = Killed(seed=3, executor=executor)
    ctx.killed = []
    assert selected(corpus, tmp_path / "there", ctx) == undisturbed
    assert ctx.killed
