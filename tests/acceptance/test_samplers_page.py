"""docs/samplers.md is true: its lines run on a running service, and its table names the samplers there are."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.conftest import ROOT, Installation
from tests.acceptance.test_pages_of_results import rows, run, section
from worker.kinds.interactions.sampling.samplers import SAMPLERS

PAGE = ROOT / "docs" / "samplers.md"


def test_lines_of_the_page_run(installation: Installation, tmp_path: Path) -> None:
    done = run(PAGE, tmp_path, installation)
    assert done.returncode == 0, done.stderr
    assert "keep_percent" in done.stdout


def test_every_sampler_stands_in_the_table() -> None:
    named = {name.strip() for cells in rows(section(PAGE, "Samplers"), "method") for name in cells[0].split(",")}
    assert named == {sampler.method for sampler in SAMPLERS.values()}
