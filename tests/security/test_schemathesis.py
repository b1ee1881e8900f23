"""Requests made up from openapi.json, right and wrong: the running service keeps to what it says of itself.

All checks of Schemathesis: no 5xx, only documented statuses, types, headers and bodies, wrong data refused.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.store.api_keys import ensure_first_key
from tests.security.fort import Fort

pytestmark = pytest.mark.security
CONFIG = Path(__file__).with_name("schemathesis.toml")
ROOT = Path(__file__).resolve().parents[2]


def test_service_when_fuzzed_by_its_description_then_no_check_fails(fort: Fort, tmp_path: Path) -> None:
    # A tenant of its own: it finds ids in answers, and deletes what they name.
    key = ensure_first_key(fort.environment()["DISTILLERY_DATABASE_URL"], tenant_name="fuzzer")
    begin = ["--config-file", str(CONFIG), "run", f"{fort.url}/openapi.json", "-H", f"Authorization: Bearer {key}"]
    bounds = ["--max-examples", "6", "--seed", "1", "--no-shrink", "--continue-on-failure", "--checks", "all"]
    command = [sys.executable, "-m", "schemathesis.cli", *begin, *bounds]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.security.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
    said = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    print(said[said.rfind(" SUMMARY ") :])
    failures = said[said.find(" FAILURES ") : said.rfind(" SUMMARY ")]
    assert done.returncode == 0, "\n".join(line[:300] for line in failures.splitlines())[:20_000] + done.stderr[-2000:]
    tested = re.search(r"Tested: (\d+)", said)
    assert tested is not None
    assert int(tested[1]) >= 39
