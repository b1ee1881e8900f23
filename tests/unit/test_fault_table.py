"""The table of docs/reliability.md holds what was measured in every test process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.faults.result_table import BEGIN, END

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import pytest

@pytest.mark.fault_row({number}, "injected", "holds", target="<= 9 s")
@pytest.mark.parametrize("value", [1, 3, {worst}])
def test_row(measured, value):
    measured.repeats(2)
    measured("came back after", value, "s", target=9)
"""


def test_table_when_the_tests_ran_in_two_processes_then_has_the_figures_of_both(tmp_path: Path) -> None:
    for number, worst in ((1, 5), (2, 10)):
        (tmp_path / f"test_{number}.py").write_text(TESTS.format(number=number, worst=worst))
    table = tmp_path / "table.md"
    table.write_text(f"before\n{BEGIN}\n| 2 | old |\n| 3 | kept |\n{END}\nafter\n")
    plugin = ["-p", "tests.faults.result_table", "--reliability", str(table)]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", *plugin, str(tmp_path)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    lines = table.read_text().splitlines()
    assert [line for line in lines if line[:2] == "| " and line[2] in "123"] == [
        "| 1 | injected | holds | <= 9 s | 6 | held | came back after 3 (5) s |",
        "| 2 | injected | holds | <= 9 s | 6 | 1 failed | came back after 3 (10) s |",
        "| 3 | kept |",
    ]
    assert (lines[0], lines[-1]) == ("before", "after")
