"""Measurements back from what a report stored, and several of them side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.evidence.made_up import JOB, PROTOCOL, measurements
from worker.contract.context import Context
from worker.contract.errors import JobError
from worker.contract.kind import NoParams
from worker.evidence.compare import compare
from worker.evidence.comparison import Comparison
from worker.evidence.measurements import Measurements, Protocol, Ratio
from worker.evidence.report import build
from worker.evidence.restore import Evidence, restore

LEVELS = {
    "popularity": {"full": 0.15, "summary": 0.14, "random-users": 0.13, "head-users": 0.12},
    "ease": {"full": 0.34, "summary": 0.30, "random-users": 0.25, "head-users": 0.20},
}


def stored(m: Measurements, folder: Path, number: int = 1) -> Evidence:
    """What is read back of the report of a job."""
    build(m, {**JOB, "id": f"job_000{number}"}).write(folder)
    return restore(folder)


def test_report_when_read_back_then_every_figure_and_interval_is_the_same(tmp_path: Path) -> None:
    m = measurements(LEVELS)
    ratio = Ratio(np.arange(2000.0), np.arange(2000.0) + 3)
    results = tuple(replace(one, scores={"test": {**one.scores["test"], "bits": ratio}}) for one in m.results)
    m = replace(m, results=results)
    evidence = stored(m, tmp_path)
    back = evidence.measurements
    assert evidence.label.endswith("0001")
    assert back.protocol.hash == m.protocol.hash
    assert back.sets == m.sets
    before, after = Comparison(m), Comparison(back)
    for one in m.sets:
        first, second = before.share("ease", one.name), after.share("ease", one.name)
        assert first is not None
        assert second is not None
        assert first.estimate == second.estimate
    np.testing.assert_array_equal(back.results[0].scores["test"]["bits"].numerator, ratio.numerator)


def test_summaries_when_compared_then_the_difference_has_an_interval_of_its_own(tmp_path: Path) -> None:
    good = stored(measurements(LEVELS), tmp_path / "a", 1)
    worse = LEVELS | {"ease": LEVELS["ease"] | {"summary": 0.2}}
    bad = stored(measurements(worse), tmp_path / "b", 2)
    found = compare(None, NoParams(), Context(inputs={"summaries": [bad, good]}))
    [table] = [one for one in found.tables if one.name == "differences"]
    [row] = [one for one in table.rows if one["learner"] == "EASE"]
    assert row["said"] == "the second"
    assert row["ahead_high"] < 0
    assert row["ahead"] == pytest.approx(100 * (0.2 - 0.3), abs=0.5)
    assert found.headline.startswith(good.label)
    assert [one["verdict"]["status"] for one in found.more["summaries"]] == ["cheap_is_better", "ahead"]


def test_equal_summaries_when_compared_then_neither_is_ahead(tmp_path: Path) -> None:
    both = [stored(measurements(LEVELS), tmp_path / str(number), number) for number in (1, 2)]
    found = compare(None, NoParams(), Context(inputs={"summaries": both}))
    [table] = [one for one in found.tables if one.name == "differences"]
    assert {row["said"] for row in table.rows} == {"neither is clearly ahead"}
    assert found.headline == "No summary is clearly ahead by EASE"


def test_summaries_when_measured_otherwise_or_alone_then_refused_with_a_cure(tmp_path: Path) -> None:
    other = Protocol({**PROTOCOL.fields, "seeds": [0, 1]})
    first = stored(measurements(LEVELS), tmp_path / "a", 1)
    second = stored(measurements(LEVELS, protocol=other), tmp_path / "b", 2)
    for given, said in (([first, second], "another protocol"), ([first], "nothing to compare")):
        with pytest.raises(JobError, match=said) as refused:
            compare(None, NoParams(), Context(inputs={"summaries": given}))
        assert refused.value.pointer == "/inputs/summaries"
        assert refused.value.hint


def test_report_when_its_scores_or_a_learner_are_gone_then_refused(tmp_path: Path) -> None:
    stored(measurements(LEVELS), tmp_path)
    (tmp_path / "files" / "measurements.npz").unlink()
    with pytest.raises(JobError, match="no scores of single test units"):
        restore(tmp_path)
    build(measurements(), JOB).write(tmp_path)  # with a learner that interactions does not have
    with pytest.raises(JobError, match="not installed any more: ae"):
        restore(tmp_path)
