"""Measurements of several jobs in one table, and the refusal to mix what was not measured alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.evidence.made_up import JOB, PROTOCOL, changed, measurements, with_level
from worker.contract.product import Origin
from worker.evidence.comparison import Comparison
from worker.evidence.conclude import conclude
from worker.evidence.measurements import Protocol, TestSet
from worker.evidence.merge import merge


def test_summaries_of_two_jobs_stand_in_one_table_each_with_its_verdict() -> None:
    second = measurements(
        with_level("ae", "summary", 0.2), origin=Origin("k-means", optimised_for="ae"), unfinished="time was over"
    )
    merged = merge({"first": measurements(), "second": second})
    assert [one.name for one in merged.summaries] == ["first:summary", "second:summary"]
    assert [one.label for one in merged.summaries] == ["this summary (first)", "this summary (second)"]
    assert merged.origins["second:summary"].method == "k-means"
    assert merged.unfinished == "second: time was over"
    assert len(merged.of("ae", "full")) == 1
    found = conclude(merged, JOB)
    assert [one["verdict"]["status"] for one in found.more["summaries"]] == ["ahead", "cheap_is_better"]
    assert Comparison(merged).mean("ae", "second:summary").value == pytest.approx(0.2)


def test_other_protocol_is_refused() -> None:
    other = Protocol({**PROTOCOL.fields, "seeds": [0, 1]})
    assert other.hash != PROTOCOL.hash
    with pytest.raises(ValueError, match="under another protocol"):
        merge({"a": measurements(), "b": measurements(protocol=other)})


def test_other_test_units_or_full_data_are_refused() -> None:
    ids = [TestSet("test", "test users", "users", 2000, np.arange(2000) + shift) for shift in (0, 1)]
    with pytest.raises(ValueError, match="other test units"):
        merge({"a": measurements(tests=(ids[0],)), "b": measurements(tests=(ids[1],))})
    with pytest.raises(ValueError, match="other test units"):
        merge({"a": measurements(), "b": measurements(users=50)})
    with pytest.raises(ValueError, match="other full data"):
        merge({"a": measurements(), "b": measurements(sets=changed("full", rows=999))})


def test_protocol_hash_follows_the_fields_alone() -> None:
    assert replace(PROTOCOL, text="other words").hash == PROTOCOL.hash
    assert Protocol(dict(reversed(PROTOCOL.fields.items()))).hash == PROTOCOL.hash
    with pytest.raises(ValueError, match="lacks seeds"):
        Protocol({name: value for name, value in PROTOCOL.fields.items() if name != "seeds"})
