"""Requests made up from openapi.json, right and wrong: the running service keeps to what it says of itself.

All checks of Schemathesis: no 5xx, only documented statuses, types, headers and bodies, wrong data refused.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.store.api_keys import ensure_first_key
from tests.security.fort import Fort

pytestmark = pytest.mark.security
ROOT = Path(__file__).resolve().parents[2]
# What no request of the fuzzer can bring about: it has a key of every scope, sends small heads, and waits for nobody.
NOT_BY_REQUEST = {"401", "408", "431", "500", "503", "507"}


def expectations(document: dict[str, Any]) -> str:
    """The configuration: a request as described may be refused in no other way than its operation says, and one that
    is not as described is refused in one of these ways.

    A described request may still mean nothing, since no schema can say which dataset exists, which page token was
    given out, or that a time lies in the future: refusals of operations that promise none would pass unseen otherwise.
    """
    lines: list[str] = []
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            said = set(operation["responses"]) - NOT_BY_REQUEST
            refused = sorted(status for status in said | {"401"} if status >= "400")
            lines += [
                "[[operations]]",
                f'include-name = "{verb.upper()} {path}"',
                f"checks.positive_data_acceptance.expected-statuses = {json.dumps(sorted(said))}",
                f"checks.negative_data_rejection.expected-statuses = {json.dumps(refused)}",
                f"checks.missing_required_header.expected-statuses = {json.dumps(refused)}",
            ]
    return "\n".join(lines) + "\n"


def test_service_when_fuzzed_by_its_description_then_no_check_fails(fort: Fort, tmp_path: Path) -> None:
    # A tenant of its own: it finds ids in answers, and deletes what they name.
    key = ensure_first_key(fort.environment()["DISTILLERY_DATABASE_URL"], tenant_name="fuzzer")
    config = tmp_path / "schemathesis.toml"
    config.write_text(expectations(httpx.get(f"{fort.url}/openapi.json").json()))
    begin = ["--config-file", str(config), "run", f"{fort.url}/openapi.json", "-H", f"Authorization: Bearer {key}"]
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
