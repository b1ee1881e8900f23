"""One colour and one marker means one thing in the reports of logs, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.drawn import drawn
from worker.contract.context import Context
from worker.evidence.findings import Findings
from worker.runtime.registry import discover, load_kind


@pytest.mark.parametrize("name", ["policy-convolution", "log-diagnostics", "policy-gradient", "importance-rounds"])
def test_bandit_report_when_all_its_plots_are_drawn_then_each_thing_has_one_look(
    name: str, tiny: Callable[[str], Path]
) -> None:
    kind, method = load_kind("bandit"), discover()["bandit", name]
    data, ctx = kind.load(tiny("bandit")), Context()
    made = method.run(data, method.params(), ctx)
    if not isinstance(made, Findings):
        made = made.judge(data, kind.judging.params()(seeds=2, learn=False), ctx)
    every = drawn(made)
    looks = [next(iter(seen)) for seen in every.values()]
    assert all(len(seen) == 1 for seen in every.values())
    assert len(set(looks)) == len(looks)
