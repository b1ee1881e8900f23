"""Documents picked by a judge that the operator named, in a directory and behind HTTP, by a running service."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distillery import errors
from tests.judges.pool import documents
from tests.judges.served import Served
from tests.judges.server import KEY
from tests.judges.train import train_judge
from tests.kinds.text.planted import jsonl
from tests.scanning import files_below, files_with
from tests.service import Service

JUDGED = {"learners": ["ngram"], "draws": 2, "bootstrap": 100}
TEXTS, GOOD = documents(460)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_judge(tmp_path_factory.mktemp("judge"), TEXTS[:160], GOOD[:160], epochs=2, rate=3e-3)


@pytest.fixture(scope="module")
def service(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Served]]:
    file = tmp_path_factory.mktemp("operator") / "models.json"
    with Served(checkpoint) as served:
        models = {"judge": {"backend": "hf-local", "path": str(checkpoint)}, "hosted": served.openai()}
        file.write_text(json.dumps(models))
        with Service(threads=1, credentials_file=file) as running:
            yield running, served


def test_a_judge_of_the_operators_picks_the_good_documents_from_its_directory_and_over_http(
    service: tuple[Service, Served], tmp_path: Path
):
    running, served = service
    sources = ["good" if good else "bad" for good in GOOD]
    records = [
        {"id": f"d{at}", "text": text, "source": source}
        for at, (text, source) in enumerate(zip(TEXTS[160:], sources[160:], strict=True))
    ]
    with running.client as client:
        dataset = client.datasets.upload(jsonl(tmp_path / "documents.jsonl", records), kind="text").reference
        scores: list[Any] = []
        for backend in ("judge", "hosted"):
            job = client.run("ask-llm", dataset, backend=backend, rate=0.2, evaluate=JUDGED).wait(timeout=240)
            assert job.view["state"] == "succeeded", job.view
            folder = job.summary.download(tmp_path / backend)
            kept = [json.loads(line) for line in _lines(folder / "documents.jsonl.gz")]
            assert sum(one["source"] == "good" for one in kept) >= 0.9 * len(kept)
            scores.append({one["id"]: one["score"] for one in kept})
            facts = json.loads((folder / "summary.json").read_text())["facts"]
            assert (facts["backend"], facts["score_kind"]) == (backend, "full_vocab")
            assert facts["answer_mass"] > 0.9
        both = scores[0].keys() & scores[1].keys()
        assert len(both) >= 0.9 * len(scores[0])
        assert max(abs(scores[0][one] - scores[1][one]) for one in both) < 2e-3
        with pytest.raises(errors.JobFailed) as refused:
            client.run("ask-llm", dataset, backend="unknown", rate=0.2).wait(timeout=120)
        assert "hosted, judge" in refused.value.hint
    files = files_below(running.home)
    assert len(files) > 100
    assert files_with(files, KEY) == []
    assert files_with(files, served.address) == []


def _lines(file: Path) -> list[str]:
    return gzip.decompress(file.read_bytes()).decode().splitlines()
