"""Plots as PNG: the same plots as the SVG ones, the same bytes each time, whatever stands in the labels."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from matplotlib.image import imread

from tests.unit.evidence.made_up import JOB, measurements
from worker.evidence.measurements import Plot, Series
from worker.evidence.plots import draw_png
from worker.evidence.report import build

MAGIC = b"\x89PNG\r\n\x1a\n"


def plot(text: str) -> Plot:
    return Plot("p", text, text, "bar", text, text, (Series(text, (text, "b"), (1.0, 2.0)),))


def test_picture_when_drawn_twice_then_has_the_same_bytes_and_is_not_empty():
    first, second = draw_png(plot("plain")), draw_png(plot("plain"))
    assert first == second
    pixels = imread(io.BytesIO(first))
    assert pixels.shape[0] > 200
    assert pixels.shape[1] > 600
    assert pixels.min() < 0.9 < pixels.max(), "ink on white paper"


@pytest.mark.parametrize("text", ["日本語 ∞-AE", "<script>$x^2$", "a\x00b\u202ec", "x" * 500], ids=str.__len__)
def test_picture_when_labels_are_odd_then_it_is_drawn_all_the_same(text: str):
    assert draw_png(plot(text)).startswith(MAGIC)


def test_report_when_written_then_each_plot_is_there_in_both_forms(tmp_path: Path):
    build(measurements(), JOB).write(tmp_path)
    drawn = {path.stem for path in (tmp_path / "plots").glob("*.svg")}
    painted = {path.stem for path in (tmp_path / "plots").glob("*.png")}
    assert drawn == painted != set()
    assert all(path.read_bytes().startswith(MAGIC) for path in (tmp_path / "plots").glob("*.png"))
