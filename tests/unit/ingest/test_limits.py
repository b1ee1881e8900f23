from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from app.settings import Settings
from tests.unit.ingest.tables import csv_text, refusal, rows
from worker.contract.errors import JobError
from worker.ingest.limits import Limits, Meter


def test_limits_when_nothing_is_set_then_equal_the_settings_defaults() -> None:
    settings = {name: field.default for name, field in Settings.model_fields.items() if name.startswith("ingest_")}
    assert {f"ingest_{name}": value for name, value in asdict(Limits()).items()} == settings


def test_ceiling_when_compressed_text_then_ratio_and_slack_under_the_budget() -> None:
    assert Limits().text_ceiling(1_000) == 10_200_000
    assert Limits(decoded_bytes=5_000_000).text_ceiling(1_000) == 5_000_000


@pytest.mark.parametrize(
    ("count", "name"),
    [
        (lambda meter: meter.decoded(11, "x"), "DECODED_BYTES"),
        (lambda meter: [meter.decoded(6, "x"), meter.decoded(6, "y")], "DECODED_BYTES"),
        (lambda meter: meter.promised(11, "x"), "DECODED_BYTES"),
        (lambda meter: meter.rows_read(11, "x"), "ROWS"),
        (lambda meter: meter.columns(11, "x"), "COLUMNS"),
        (lambda meter: meter.entries(11, "x"), "ARCHIVE_ENTRIES"),
        (lambda meter: meter.id_length(11, "x"), "ID_BYTES"),
        (lambda meter: meter.cell_length(11, "x"), "TEXT_CELL_BYTES"),
    ],
)
def test_meter_when_a_limit_is_passed_then_measured_limit_and_setting_are_named(count: object, name: str) -> None:
    meter = Meter(Limits(10, 10, 10, 10, 10, 10))
    with pytest.raises(JobError) as caught:
        count(meter)
    assert caught.value.code == "decoded_too_large"
    assert f"DISTILLERY_INGEST_{name}" in caught.value.detail
    assert ("11" in caught.value.detail) or ("12" in caught.value.detail)
    assert "limit of 10" in caught.value.detail


@pytest.mark.parametrize("count", [3, 10])
def test_meter_when_below_or_exactly_at_a_limit_then_fine(count: int) -> None:
    meter = Meter(Limits(10, 10, 10, 10, 10, 10))
    meter.promised(count, "x")
    meter.decoded(count, "x")
    meter.rows_read(count, "x")
    meter.columns(count, "x")
    meter.entries(count, "x")
    meter.id_length(count, "x")
    meter.cell_length(count, "x")


def test_meter_when_a_promise_comes_on_top_of_what_was_decoded_then_both_count() -> None:
    meter = Meter(Limits(decoded_bytes=10))
    meter.decoded(6, "x")
    meter.promised(4, "y")
    with pytest.raises(JobError, match="12 is above"):
        meter.promised(6, "y")
    assert (meter.bytes, meter.rows, meter.packed_done) == (6, 0, 0)


@pytest.mark.parametrize("limits", [Limits(decoded_bytes=1000), Limits(rows=20), Limits(columns=3), Limits(id_bytes=1)])
def test_csv_when_above_any_limit_then_refused(tmp_path: Path, limits: Limits) -> None:
    path = tmp_path / "x.csv"
    path.write_text(csv_text(rows(100)))
    refusal(path, "decoded_too_large", limits)
