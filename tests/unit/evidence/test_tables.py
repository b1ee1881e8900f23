"""Tables: what each table holds, and an export no spreadsheet runs."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from tests.unit.evidence.made_up import JOB, SETS, measurements, result
from worker.contract.product import Origin
from worker.evidence import costs, tables
from worker.evidence.comparison import Comparison
from worker.evidence.conclude import conclude
from worker.evidence.figures import carried_over
from worker.evidence.measurements import MakingCost, Measurements, PrivacyRow, Tried
from worker.evidence.noise import Noise
from worker.evidence.plot import Plot
from worker.evidence.searches import searches, tuning
from worker.evidence.table import Column, Table


def test_fidelity_table_has_a_row_per_learner_and_set_with_mean_interval_and_n() -> None:
    table = tables.fidelity(Comparison(measurements()))
    assert len(table.rows) == 12
    row = next(r for r in table.rows if r["learner"] == "∞-AE" and r["set"] == "random users")
    assert row["metric"] == pytest.approx(27.0)
    assert row["metric_low"] < row["metric"] < row["metric_high"]
    assert row["kept"] == pytest.approx(100 * 0.27 / 0.33)
    assert row["lead"] == pytest.approx(5.0)
    assert row["n"] == 2000
    assert row["seeds"] == 1


def test_cost_table_without_a_known_cost_says_unknown() -> None:
    row = costs.cost_table(measurements(), MakingCost()).rows[0]
    assert row["pays"] == "unknown: making it was not timed"
    row = costs.cost_table(measurements(), MakingCost(22.0)).rows[0]
    assert (row["break_even"], row["break_even_low"]) == (2, 2)
    assert row["break_even_high"] >= 2
    assert row["n"] == 3


def test_cost_when_the_two_sides_were_timed_in_different_jobs_then_what_pays_is_unknown() -> None:
    m = measurements()
    m = replace(m, results=tuple(replace(r, job="job_7") if r.set == "full" else r for r in m.results))
    row = costs.cost_table(m, MakingCost(23.0)).rows[0]
    assert row["pays"] == "unknown: full data and summary were timed in different jobs"
    assert row["timed_in"] == "full data: job job_7"


@pytest.mark.parametrize(
    ("label", "unit", "heading", "of_numbers"),
    [
        ("Events", "events", "Events", "Events"),
        ("Users", "users", "Users", "Users"),
        ("Of all users", "%", "Of all users (%)", "Of all users (%)"),
        ("n", "test users", "n (test users)", "n (test users)"),
        ("Bytes", "B", "Bytes", "Bytes (B)"),
        ("One training, full", "s", "One training, full", "One training, full (s)"),
    ],
)
def test_heading_when_the_label_says_the_unit_then_it_is_said_once(
    label: str, unit: str, heading: str, of_numbers: str
) -> None:
    column = Column("a", label, unit=unit)
    assert (column.heading, column.heading_of_numbers) == (heading, of_numbers)


def test_cross_learner_table_leaves_out_the_full_data_and_marks_the_learner_aimed_at() -> None:
    table = tables.cross_learner(Comparison(measurements()))
    assert [row["set"] for row in table.rows] == ["this summary", "random users", "head users"]
    assert any("made for it" in column.label for column in table.columns)


def test_metric_known_as_one_number_stands_without_an_interval() -> None:
    table = tables.metrics(Comparison(measurements()))
    row = next(r for r in table.rows if r["metric"] == "coverage")
    assert row["value"] == pytest.approx(90.0)
    assert table.to_json()["rows"][table.rows.index(row)]["value_low"] is None


def test_every_number_column_of_every_table_has_a_unit_or_a_unit_column() -> None:
    for table in conclude(measurements(), JOB | {"uploaded_bytes": 1}).tables:
        named = {column.key for column in table.columns}
        for column in table.columns:
            if column.kind == "number":
                excused = column.key in ("draw", "seed", "value") or "unit" in named
                assert column.unit or excused, (table.name, column.key)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_csv_cell_that_starts_a_formula_gets_a_quote(start: str) -> None:
    table = Table("t", "t", (Column("a", "A", "text"), Column("b", "B")), ({"a": f"{start}1+1", "b": -1.5},))
    rows = list(csv.reader(io.StringIO(table.to_csv(), newline="")))
    assert rows[1] == [f"'{start}1+1", "-1.5"]


def test_csv_header_is_formula_safe_and_missing_values_are_empty() -> None:
    table = Table("t", "t", (Column("a", "=HYPERLINK()", "text"), Column("b", "B", unit="s")), ({"b": float("nan")},))
    rows = list(csv.reader(io.StringIO(table.to_csv())))
    assert rows == [["'=HYPERLINK()", "B (s)"], ["", ""]]


def test_sizes_name_the_units_of_the_kind_and_tell_what_was_uploaded_and_what_compresses() -> None:
    sets = (replace(SETS[0], compressed=20_000), *SETS[1:])
    table = tables.sizes(measurements(sets=sets, unit="node", units="nodes", event="edges"), 123_456)
    labels = {column.key: column.label for column in table.columns}
    assert (labels["rows"], labels["rows_share"], labels["events"]) == ("Nodes", "Of all nodes", "Edges")
    assert table.rows[0]["compressed"] == 20_000
    assert table.rows[1]["bytes_share"] == pytest.approx(100 * 9_000 / 44_000)
    assert (table.rows[-1]["set"], table.rows[-1]["bytes"]) == ("as uploaded", 123_456)
    assert len(tables.sizes(measurements()).rows) == len(SETS)


def test_privacy_table_holds_the_interval_of_an_attack() -> None:
    attack = PrivacyRow("Membership attack", 0.52, "AUC", 400, "an attack, no guarantee", 0.48, 0.56)
    (row,) = tables.privacy(measurements(privacy=(attack,))).rows
    assert (row["value"], row["low"], row["high"]) == (0.52, 0.48, 0.56)


def test_heat_map_of_what_carries_over_has_a_row_per_set_and_a_column_per_learner_that_is_no_floor() -> None:
    plot = carried_over(Comparison(measurements()))
    assert plot.kind == "heatmap"
    assert [series.label for series in plot.series] == ["this summary", "random users", "head users"]
    assert plot.series[0].x == ("EASE", "∞-AE")
    assert plot.series[0].low[0] < plot.series[0].y[0] < plot.series[0].high[0]
    assert plot.series[0].y == pytest.approx((100 * 0.30 / 0.34, 100 * 0.32 / 0.33))
    assert carried_over(Comparison(measurements({"ae": {"full": 0.3, "summary": 0.2}}))).series == ()


def found_of(m: Measurements) -> list[Plot]:
    return searches(m, Noise(m))


def tuned(*settings: dict[str, float | int | str], noise: float = 0.0) -> Measurements:
    """EASE tuned over these settings, on the full data and on the summary; each is a point better than the one before.

    `noise`: by how much a validation user's own differences scatter; 0 leaves bare numbers, without users.
    """
    rng = np.random.default_rng(0)

    def scores(i: int) -> np.ndarray | float:
        drawn = rng.normal(0, noise, 400)
        return 0.1 + 0.01 * i + drawn - drawn.mean() if noise else 0.1 + 0.01 * i

    tries = tuple(Tried(one, scores(i)) for i, one in enumerate(settings))
    results = tuple(
        result("ease", name, np.ones(2000), tried=tries, chosen=settings[-1]) for name in ("full", "summary")
    )
    return measurements({}, results=results)


def test_search_over_one_hyper_parameter_is_a_curve_per_set() -> None:
    (plot,) = found_of(tuned({"lambda": 5.0}, {"lambda": 1.0}, {"lambda": 20.0}))
    assert (plot.kind, plot.name, plot.log_x) == ("line", "search-ease", True)
    assert plot.series[0].x == (1.0, 5.0, 20.0)
    assert plot.series[0].y == pytest.approx((11.0, 10.0, 12.0))
    assert "full data at 20" in plot.description


def test_search_over_two_hyper_parameters_is_a_heat_map_per_set() -> None:
    grid = [{"depth": d, "rate": r, "steps": 100} for d in (1, 2) for r in (0.1, 0.01, 1.0)]
    first, second = found_of(tuned(*grid[:-1]))
    assert (first.kind, first.name, second.name) == ("heatmap", "search-ease-full", "search-ease-summary")
    assert [series.label for series in first.series] == ["1", "2"]
    assert first.series[0].x == ("0.01", "0.1", "1")
    assert first.series[0].y == pytest.approx((11.0, 10.0, 12.0))
    assert np.isnan(first.series[1].y[2]), "what was not tried has no value"


def test_search_over_more_or_over_words_is_a_cloud_in_the_order_of_trying() -> None:
    three = [{"a": i, "b": -i, "c": i * i} for i in range(4)]
    for settings in (three, [{"kernel": "relu"}, {"kernel": "erf"}]):
        (plot,) = found_of(tuned(*settings))
        assert plot.kind == "scatter"
        assert plot.series[0].x == tuple(float(i + 1) for i in range(len(settings)))
    assert found_of(tuned({"lambda": 1.0})) == []


def test_tuning_table_lists_every_configuration_and_marks_the_chosen_one() -> None:
    m = tuned({"depth": 1, "rate": 0.1}, {"depth": 2, "rate": 0.5})
    table = tuning(m, Noise(m))
    assert [row["settings"] for row in table.rows] == ["depth 1, rate 0.1", "depth 2, rate 0.5"] * 2
    assert [row["chosen"] for row in table.rows] == ["", "chosen"] * 2
    assert table.rows[1]["metric"] == pytest.approx(11.0)


@pytest.mark.parametrize(("noise", "expected"), [(0.01, ["", "", "chosen"]), (0.5, ["as good", "as good", "chosen"])])
def test_configurations_when_noise_hides_their_difference_then_are_called_as_good(
    noise: float, expected: list[str]
) -> None:
    m = tuned(*({"ridge": value} for value in (1.0, 5.0, 20.0)), noise=noise)
    assert [row["chosen"] for row in tuning(m, Noise(m)).rows][:3] == expected
    (plot,) = found_of(m)
    line, best = plot.series[0], plot.series[0].y[-1]
    reach = [low <= best <= high for low, high in zip(line.low, line.high, strict=True)]
    assert reach == [bool(word) for word in expected], "an interval reaches the best where noise may be all"
    assert ("as good from 1 to 20" in plot.description) == (noise > 0.1)


def test_heat_map_of_a_search_when_cells_are_as_good_as_the_best_then_frames_them() -> None:
    m = tuned(*({"depth": d, "rate": r} for d in (1, 2) for r in (0.1, 1.0)), noise=0.01)
    assert [series.stress for series in found_of(m)[0].series] == [(), ("1",)]
    m = tuned(*({"depth": d, "rate": r} for d in (1, 2) for r in (0.1, 1.0)), noise=0.5)
    assert [series.stress for series in found_of(m)[0].series] == [("0.1", "1"), ("0.1", "1")]


def test_note_says_how_often_the_summary_was_made() -> None:
    assert "The summary was made once" in tables.fidelity(Comparison(measurements())).note
    m = measurements()
    twice = (*m.results, result("ae", "summary", np.ones(2000), draw=1))
    assert "made 2 times" in tables.fidelity(Comparison(replace(m, results=twice))).note
    assert m.origin == Origin("distill-cf", optimised_for="ae")
