"""docs/summaries.md and docs/evidence.md are true: their lines run, and what they list is what a service delivers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from distillery import Client
from tests.acceptance.conftest import ROOT, Installation
from worker.contract.learner import learners_of
from worker.contract.product import Origin
from worker.evidence.ordering import NEEDED
from worker.evidence.verdict import WORDS
from worker.kinds.interactions.judge import evaluate_params

SUMMARIES, EVIDENCE = (ROOT / "docs" / name for name in ("summaries.md", "evidence.md"))
IN_EVERY = {"manifest.json", "report.json", "report.html", "report.md"}


def section(page: Path, heading: str) -> str:
    return page.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def rows(text: str, first: str) -> list[list[str]]:
    """The cells of the rows of a section's tables whose first heading is `first`, without backticks."""
    found: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        cells = [cell.strip().replace("`", "") for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
        inside = line.startswith("|") and (inside or cells[0] == first)
        if inside and cells[0] != first and not cells[0].startswith("---"):
            found.append(cells)
    return found


def run(page: Path, folder: Path, installation: Installation) -> subprocess.CompletedProcess[str]:
    (folder / "distillery" / "data").mkdir(parents=True)
    shutil.copy(ROOT / "distillery" / "data" / "msweb.parquet", folder / "distillery" / "data")
    program = "\n".join(
        re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    )
    return subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=folder,
        env=installation.environment,
        capture_output=True,
        text=True,
        timeout=580,
    )


@pytest.fixture(scope="module")
def made(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the lines of the page on summaries leave behind: `summary`, `weighted`, `rounds`, `policy`, `report`."""
    folder = tmp_path_factory.mktemp("summaries")
    done = run(SUMMARIES, folder, installation)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def learnt(client: Client, dataset: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A summary of synthetic rows, in every form."""
    quick = {"learners": ["popularity", "ease"], "baselines": [], "bootstrap": 100}
    job = client.distil(dataset, "distill-cf", budget=10, params={"steps": 10}, evaluate=quick).wait()
    return job.summary.download(tmp_path_factory.mktemp("learnt"))


@pytest.fixture(scope="module")
def ranked(client: Client, dataset: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A summary of ranked rows."""
    quick = {"learners": ["popularity", "ease"], "baselines": [], "bootstrap": 100}
    params = {"steps": 10, "export": "ranked"}
    job = client.distil(dataset, "distill-cf", budget=10, params=params, evaluate=quick).wait()
    return job.summary.download(tmp_path_factory.mktemp("ranked"))


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - IN_EVERY


def arrays(folder: Path) -> Iterator[tuple[str, str, str]]:
    """File, name and dtype of every array and column of a summary, those of logs' canonical files apart."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                yield from ((name, one, stored[one].dtype.name) for one in stored.files)
        elif path.suffix == ".npy":
            yield name, "", np.load(path).dtype.name
        elif path.suffix == ".parquet":
            yield from ((name, one.name, str(one.type)) for one in parquet.read_schema(path))


def test_page_on_evidence_when_its_lines_run_then_they_compute_the_figures_of_the_report(
    installation: Installation, tmp_path: Path
) -> None:
    done = run(EVIDENCE, tmp_path, installation)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("keeps "), done.stdout


def test_files_when_interactions_are_delivered_then_are_those_listed(made: Path, learnt: Path, ranked: Path) -> None:
    listed = {cells[0] for cells in rows(section(SUMMARIES, "Interactions: rows"), "file") if len(cells) == 2}
    assert files(made / "summary") | files(made / "weighted") | files(learnt) | files(ranked) == listed


def test_files_when_a_policy_or_rounds_are_delivered_then_are_those_listed(made: Path) -> None:
    listed = {cells[0] for cells in rows(section(SUMMARIES, "Logs of decisions: a policy"), "file") if len(cells) == 2}
    assert files(made / "policy") == listed
    text = section(SUMMARIES, "Logs of decisions: rounds")
    own, canonical = (rows(part, "file") for part in text.split("Canonical files of a log"))
    found = files(made / "rounds")
    assert {name for name in found if not name.startswith("dataset/")} == {c[0] for c in own if len(c) == 2} - {
        "dataset/*"
    }
    patterns = [cells[0] for cells in canonical]
    inside = {name.removeprefix("dataset/") for name in found if name.startswith("dataset/")}
    assert not [name for name in inside if not any(fnmatch(name, pattern) for pattern in patterns)]


@pytest.mark.parametrize(
    ("heading", "folders"),
    [
        ("Interactions: rows", ["summary", "weighted", "learnt", "ranked"]),
        ("Logs of decisions: rounds", ["rounds"]),
        ("Logs of decisions: a policy", ["policy"]),
    ],
)
def test_arrays_when_delivered_then_have_the_names_and_dtypes_listed(
    made: Path, learnt: Path, ranked: Path, heading: str, folders: list[str]
) -> None:
    listed = [cells for cells in rows(section(SUMMARIES, heading), "file") if len(cells) == 5]
    seen: set[tuple[str, str]] = set()
    for folder in folders:
        for file, name, dtype in arrays({"learnt": learnt, "ranked": ranked}.get(folder, made / folder)):
            if heading.startswith("Logs") and file.startswith("dataset/"):
                continue
            fitting = [c for c in listed if fnmatch(file, c[0]) and fnmatch(name, c[1])]
            assert fitting, (file, name)
            said = [*(c[2] for c in fitting), *(word for c in fitting for word in re.findall(r"\w+", c[4]))]
            assert dtype in said or dtype.startswith(fitting[0][2]), (file, name, dtype)
            seen |= {(c[0], c[1]) for c in fitting}
    optional = {"rating", "timestamp", "title", "position", "user", "action_ids", "*layer*.weight", "*layer*.bias"}
    assert {(c[0], c[1]) for c in listed if c[1] not in optional} <= seen


def test_manifest_origin_and_report_when_compared_with_the_page_then_each_field_is_named(made: Path) -> None:
    def named(text: str) -> set[str]:
        return {field.strip() for cells in rows(text, "field") for field in cells[0].split(",")}

    everywhere = section(SUMMARIES, "In every summary")
    of_manifest, of_origin = (named(part) for part in everywhere.split("Where a product comes from"))
    manifest: dict[str, Any] = json.loads((made / "summary" / "manifest.json").read_text())
    assert set(manifest) == of_manifest
    assert {one.name for one in fields(Origin)} == of_origin
    own, more = (named(part) for part in section(SUMMARIES, "The report").split("Reports that train learners"))
    report: dict[str, Any] = json.loads((made / "report" / "report.json").read_text())
    assert set(report) == own | more
    assert report["dataset_files"] == ["msweb.parquet"]
    assert report["dataset_name"] in report["about"][1]
    assert report["about"][1].endswith(str(datetime.fromisoformat(report["created_at"]).year))
    assert set(json.loads((made / "policy" / "report.json").read_text())) == own


def test_words_numbers_and_metrics_when_compared_with_the_code_then_are_those_of_the_page() -> None:
    text = EVIDENCE.read_text(encoding="utf-8")
    ours = {"ahead", "cheap_would_do", "cheap_is_better", "cheap_pick", "measured", "undetermined"}
    of_audits = {"helps", "no_evidence", "hurts"}
    assert {cells[0] for cells in rows(text, "status")} == ours | of_audits
    assert ours | of_audits <= set(WORDS)
    params = evaluate_params()()
    there = learners_of("interactions")
    assert {cells[0] for cells in rows(text, "learner")} == set(there)
    assert set(params.learners) == {name for name, learner in there.items() if learner.usual}
    assert f"Below {NEEDED} configurations" in text
    assert f"`tune_users`, {params.tune_users:,} unless said" in text


def test_pages_when_looked_for_then_stand_in_the_docs_row_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (row,) = (line for line in readme.splitlines() if line.startswith("| `docs/`"))
    assert "(docs/summaries.md)" in row
    assert "(docs/evidence.md)" in row
