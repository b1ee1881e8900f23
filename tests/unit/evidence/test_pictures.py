"""Plots as PNG: the same plots as the SVG ones, the same bytes each time, whatever stands in the labels."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from tests.unit.evidence.made_up import JOB, measurements
from worker.evidence import drawing
from worker.evidence.looks import Looks
from worker.evidence.plot import Plot, Series
from worker.evidence.report import build

MAGIC = b"\x89PNG\r\n\x1a\n"


def draw(plot: Plot) -> str:
    return drawing.draw(plot, Looks({}))


def draw_png(plot: Plot) -> bytes:
    return drawing.draw_png(plot, Looks({}))


def plot(text: str, kind: str = "bar") -> Plot:
    x = (1.0, 2.0) if kind == "scatter" else (text, "b")
    return Plot("p", text, text, kind, text, text, (Series(text, x, (1.0, 2.0)), Series("other", x, (3.0, np.nan))))


@pytest.mark.parametrize("kind", ["bar", "scatter", "heatmap"])
def test_picture_when_drawn_twice_then_has_the_same_bytes_and_is_not_empty(kind: str):
    first, second = draw_png(plot("plain", kind)), draw_png(plot("plain", kind))
    assert first == second
    pixels = imread(io.BytesIO(first))
    assert pixels.shape[0] > 150
    assert pixels.shape[1] > 600
    assert pixels.min() < 0.9 < pixels.max(), "ink on white paper"


@pytest.mark.parametrize("text", ["日本語 ∞-AE", "<script>$x^2$", "a\x00b\u202ec", "x" * 500], ids=str.__len__)
def test_picture_when_labels_are_odd_then_it_is_drawn_all_the_same(text: str):
    assert draw_png(plot(text)).startswith(MAGIC)
    assert draw_png(plot(text, "heatmap")).startswith(MAGIC)


def test_heat_map_writes_every_value_and_a_dash_for_one_that_is_missing():
    cells = (Series("small", ("ease", "ae"), (61.26, 80.0)), Series("large", ("ease", "ae"), (float("nan"), 99.9)))
    svg = draw(Plot("p", "t", "d", "heatmap", "learner", "", cells))
    words = re.findall(r">([^<>\s][^<>]*)</text>", svg)
    assert {"61.3", "80.0", "99.9", "–", "ease", "ae", "small", "large", "learner"} <= set(words)


def test_heat_map_of_equal_values_is_drawn():
    cells = (Series("one", ("a", "b"), (5.0, 5.0)),)
    assert ">5.0" in draw(Plot("p", "t", "d", "heatmap", "", "", cells))


def test_report_when_written_then_each_plot_is_there_in_both_forms(tmp_path: Path):
    build(measurements(), JOB).write(tmp_path)
    drawn = {path.stem for path in (tmp_path / "plots").glob("*.svg")}
    painted = {path.stem for path in (tmp_path / "plots").glob("*.png")}
    assert drawn == painted != set()
    assert all(path.read_bytes().startswith(MAGIC) for path in (tmp_path / "plots").glob("*.png"))
