"""The examples of docs/off_policy_structured.md, run against a real service."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from distillery import Client, errors

PAGE = Path(__file__).parents[2] / "docs" / "off_policy_structured.md"
EXAMPLES = dict(re.findall(r"```python title=(\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL))


def run(client: Client, name: str) -> dict[str, Any]:
    """The names that an example leaves."""
    names: dict[str, Any] = {"client": client}
    exec(EXAMPLES[name], names)
    return names


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_example_when_run_then_says_better_with_every_number(
    client: Client, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    names = run(client, name)
    report = names["job"].report.json()
    assert report["verdict"]["status"] == "better", report["verdict"]["sentence"]
    assert report["verdict"]["sentence"] in capsys.readouterr().out
    assert {table["name"] for table in report["tables"]} >= {"decisions", "estimates", "weights"}
    assert "agreement" in {plot["name"] for plot in report["plots"]}
    assert report["files"] == ["estimates.json"]
    assert names["job"].report.markdown().startswith("# ")
    with pytest.raises(errors.DistilleryError) as refused:
        client.run("log-diagnostics", names["log"]).wait()
    assert report["method"] in str(refused.value.hint)
