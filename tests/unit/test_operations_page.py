"""docs/operations.md says what is so: its metrics, settings, commands, routes and codes are those of the code."""

from __future__ import annotations

import re
from importlib.util import find_spec

from app.api.problem_codes import CODES
from app.main import create_app, undecided
from app.settings import Settings
from tests.compose import ROOT

PAGE = (ROOT / "docs" / "operations.md").read_text()


def test_metrics_when_compared_with_the_code_then_each_is_explained_and_exists():
    code = set(re.findall(r'"(distillery_\w+)"', (ROOT / "app" / "api" / "metrics.py").read_text()))
    page = {name.removesuffix("_total") for name in re.findall(r"`(distillery_\w+)`", PAGE)}
    assert page == code


def test_settings_when_named_then_they_exist():
    named = {name.lower() for name in re.findall(r"DISTILLERY_(\w+)", PAGE)}
    assert named <= set(Settings.model_fields), named - set(Settings.model_fields)


def test_commands_when_named_then_they_exist():
    modules = set(re.findall(r"python -m ([\w.]+)", PAGE))
    assert {"app.main", "app.jobs.dispatch", "worker.main", "app.store.migrate"} <= modules
    for module in modules:
        assert find_spec(module) is not None, module


def test_routes_when_named_then_they_exist():
    paths = set(create_app(undecided()).openapi()["paths"])
    named = {path for path in re.findall(r"`(?:POST )?(/[\w/]+)`", PAGE) if not path.startswith("/data")}
    assert named <= paths, named - paths


def test_codes_when_named_then_they_exist():
    for code in ("worker_lost", "store_unavailable", "corrupt_blob"):
        assert code in PAGE
        assert code in CODES


def test_files_when_named_then_they_exist():
    for path in re.findall(r"`((?:docs|tests|app|benchmarks)/[\w./]+)`", PAGE):
        assert (ROOT / path).exists(), path
