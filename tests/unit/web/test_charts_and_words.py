"""What is shown at a glance: shapes from numbers, and numbers as words."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from app.web import charts, words
from app.web.story import Story


@pytest.mark.parametrize(
    ("value", "sort"),
    [
        (3, "number"),
        ("clean", "number"),
        (True, "other"),
        ({"min": 1.0, "median": 2.0, "max": 9.0}, "spread"),
        ({"train": 5, "test": 1}, "bars"),
        ({"seed": 0, "split": "clean"}, "other"),
        ({}, "other"),
        ([1, 2], "other"),
    ],
)
def test_statistic_when_shown_then_by_what_it_is(value: object, sort: str) -> None:
    assert charts.sort_of(value) == sort


def test_spread_when_drawn_then_in_order_and_said_in_words() -> None:
    drawn = charts.spread({"min": 1, "p10": 2, "median": 5, "p90": 8, "max": 10}, "Events <per> user")
    assert 'role="img"' in drawn
    assert "Events &lt;per&gt; user: min 1, p10 2, median 5, p90 8, max 10" in drawn
    low, high = (float(at) for at in re.findall(r'<line class="thin" x1="([\d.]+)" x2="([\d.]+)"', drawn)[0])
    assert (low, high) == (2.0, 98.0)
    assert "style=" not in drawn


def test_spread_when_all_are_equal_then_still_drawn() -> None:
    assert "50.0" in charts.spread({"min": 3, "median": 3, "max": 3}, "x")


def test_curve_when_long_then_thinned_and_its_ends_kept() -> None:
    drawn = charts.curve([(float(i), float(i % 7)) for i in range(5000)], "loss")
    points = re.findall(r'points="([^"]*)"', drawn)[0].split()
    assert len(points) == 300
    assert (points[0].split(",")[0], points[-1].split(",")[0]) == ("4.0", "296.0")
    assert "5000 values" in drawn


@pytest.mark.parametrize(
    ("value", "text"),
    [(812, "812 B"), (18_000, "18 kB"), (1_580_000, "1.58 MB"), (999_999, "1 MB"), (123_400_000_000, "123 GB")],
)
def test_size_when_said_then_in_decimal_units(value: float, text: str) -> None:
    assert words.size(value).replace("\u202f", " ") == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(12345, "12 345"), (0.017887, "0.01789"), (255.491, "255.49"), (3.0, "3"), (None, "–"), (True, "yes")],
)
def test_number_when_said_then_without_needless_digits(value: float | None, text: str) -> None:
    assert words.number(value).replace("\u202f", " ") == text


def test_story_when_told_then_has_phases_metrics_and_the_tail() -> None:
    begun = datetime(2026, 5, 1, tzinfo=UTC)

    def event(seq: int, kind: str, **data: object) -> dict[str, object]:
        return {"seq": seq, "at": begun + timedelta(seconds=seq), "type": kind, "data": data}

    story = Story()
    story.tell([event(1, "created"), event(2, "progress", phase="fit", metrics={"loss": 2.0, "name": "x"})])
    story.tell([event(3, "progress", phase="fit", metrics={"loss": 1.0}), event(4, "log", text="half way")])
    story.tell([event(5, "progress", phase="judge"), event(6, "warning", text="small"), event(7, "succeeded")])
    assert [(one.name, (one.until or begun) - one.since) for one in story.phases] == [
        ("fit", timedelta(seconds=3)),
        ("judge", timedelta(seconds=2)),
    ]
    assert story.metrics == {"loss": [(1.0, 2.0), (2.0, 1.0)]}
    assert story.warnings == ["small"]
    assert [text for _, _, text in story.lines if text] == ["half way", "small"]
    assert story.seq == 7
