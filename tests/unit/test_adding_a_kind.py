"""docs/adding_a_kind.md is true: its code is that of the toy kind, and what it lists is what there is."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from worker.contract.context import Context
from worker.contract.kind import Kind
from worker.contract.method import method
from worker.contract.product import Origin
from worker.runtime.registry import kind_names, load_kind

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "tests" / "plugins" / "points"
PAGE = (ROOT / "docs" / "adding_a_kind.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^```\w+ title=(\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
NAMED = {word for span in re.findall(r"`([^`\n]+)`", PAGE) for word in re.findall(r"\w+", span)}


def file_of(title: str) -> Path:
    return PLUGIN / ("distillery_points" if title.startswith("kinds/") else "") / title


@pytest.mark.parametrize(("title", "code"), QUOTED, ids=[f"{n}-{title}" for n, (title, _) in enumerate(QUOTED)])
def test_code_on_the_page_is_quoted_from_the_toy_kind(title: str, code: str):
    assert code in file_of(title).read_text(encoding="utf-8")


def test_page_when_read_then_quotes_every_sort_of_file():
    folder = PLUGIN / "distillery_points" / "kinds" / "points"
    quoted = {file_of(title) for title, _ in QUOTED}
    assert {folder / f"{name}.py" for name in ("__init__", "dataset", "ingest", "summary", "judge")} <= quoted
    assert {path.parent for path in quoted} >= {folder / "methods", folder / "learners"}


@pytest.mark.parametrize("kind", kind_names())
def test_every_kind_has_the_files_that_the_page_lists(kind: str):
    listed = re.findall(r"^\| `([\w.]+/?)` \|", PAGE.partition("## Its files")[2].partition("\n\n**")[0], re.MULTILINE)
    folder = ROOT / "worker" / "kinds" / kind
    assert len(listed) == 7
    missing = [name for name in listed if not (folder / name).exists()]
    if load_kind(kind).products:
        assert missing in ([], ["learners/"])
    else:
        assert missing == ["summary.py", "judge.py", "learners/"]


def test_page_when_a_record_or_the_context_has_something_then_names_it():
    of_the_context = {name for name in {*vars(Context), *(f.name for f in fields(Context))} if name[0] != "_"}
    for_the_runtime = {"report_progress", "checkpoint_due", "save_checkpoint", "open_keep", "earlier_figures"}
    filled_in_by_it = {"deadline", "content", "warnings"}
    for names in (
        of_the_context - for_the_runtime - filled_in_by_it,
        {f.name for f in fields(Kind)},
        {f.name for f in fields(Origin)},
    ):
        assert names <= NAMED
    assert set(inspect.signature(method).parameters) <= NAMED
