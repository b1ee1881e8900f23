"""The documentation names every setting, problem code and metric there is, and none that there is not."""

from __future__ import annotations

import re
from pathlib import Path

from app.api.problem_codes import CODES
from app.settings import Settings
from app.store.roles import RoleSettings
from docs.write_settings import PAGE, page
from tests.integration.api.conftest import Api

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / name for name in ("README.md", "SECURITY.md")] + sorted((ROOT / "docs").glob("*.*"))
# Of the client, the command line, the embedded home and the tests; the service has no such settings.
ELSEWHERE = {"URL", "API_KEY", "HOME", "SHARED_DATA", "REDIS_SERVER"}
KNOWN = {name.upper() for settings in (Settings, RoleSettings) for name in settings.model_fields} | ELSEWHERE


def test_settings_page_when_written_from_the_code_then_equals_the_committed_one() -> None:
    assert PAGE.read_text() == page(), "run: make settings"


def test_variables_when_named_in_a_page_then_exist() -> None:
    for path in (path for path in PAGES if path.suffix != ".py"):
        named = set(re.findall(r"DISTILLERY_([A-Z][A-Z_]*[A-Z])\b(?!_?\*)", path.read_text()))
        assert named <= KNOWN, (path.name, named - KNOWN)


def test_variables_when_named_in_the_code_then_exist() -> None:
    for package in ("app", "worker", "distillery"):
        for path in (ROOT / package).rglob("*.py"):
            named = set(re.findall(r"DISTILLERY_([A-Z][A-Z_]*[A-Z])\b", path.read_text()))
            assert {name for name in named if name != "INGEST"} <= KNOWN, (path.name, named - KNOWN)


def test_problem_codes_when_raised_then_are_listed() -> None:
    """Every code that the code names in a refusal has a status, a meaning and a page."""
    raised: set[str] = set()
    for package in ("app", "worker"):
        for path in (ROOT / package).rglob("*.py"):
            raised |= set(re.findall(r'(?:Problem|Refused|JobError)\(\s*"([a-z_]+)"', path.read_text()))
    assert len(raised) > 30
    assert raised <= CODES.keys(), raised - CODES.keys()


def test_metrics_when_served_then_are_those_of_the_operations_page(api: Api) -> None:
    api.summary()
    served = set(re.findall(r"^# TYPE (distillery_\w+) ", api.get("/metrics").text, re.MULTILINE))
    served = {name for name in served if not name.endswith("_created")}
    listed = set(re.findall(r"^\| `(distillery_\w+)`", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE))
    assert served == listed
