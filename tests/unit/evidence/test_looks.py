"""One colour and one marker means one thing, in all plots of a report."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.drawn import drawn
from tests.unit.evidence.made_up import JOB, SETS, measurements, tried
from worker.contract.learner import Learner
from worker.evidence import drawing
from worker.evidence.conclude import conclude
from worker.evidence.looks import FULL, HEAD, OWN, RANDOM, Looks, family_of_baseline
from worker.evidence.measurements import Measurements, TrainingSet, Tried
from worker.evidence.plot import Plot, Series

PHONE_PX = 358  # what a page of 390 leaves between its margins


def everything() -> Measurements:
    """Every family of sets, several members of some, two tuned learners with enough configurations to rank."""
    more = (
        TrainingSet("random-bytes", "random users of equal bytes", "baseline", 90, 9, 9_000, method="random-users"),
        TrainingSet("summary-hard", "as hard rows", "form", 50, 2_000, 7_000, of="summary"),
        TrainingSet("k-means", "k-means", "baseline", 50, 2_000, 7_000, method="k-means"),
        TrainingSet("longest", "longest rows", "baseline", 50, 2_000, 7_000, method="longest"),
    )
    m = measurements()
    rng = np.random.default_rng(0)
    search = tuple(
        Tried({"lambda": float(10 + at)}, one.validation - 0.01 * at + rng.normal(0, 0.001, 60))
        for at in range(6)
        for one in tried(0.3)[:1]
    )
    results = [replace(r, tried=(*r.tried, *search)) if r.tried else r for r in m.results]
    results += [replace(r, set=one.name) for one in more for r in results if r.set == "random-users"]
    return replace(m, sets=(*SETS, *more), results=tuple(results))


def test_report_when_all_its_plots_are_drawn_then_each_thing_has_one_look_and_each_look_one_thing() -> None:
    found = conclude(everything(), JOB)
    assert {plot.name for plot in found.plots} >= {"fidelity", "metric-against-size", "ordering", "search-ease"}
    every = drawn(found)
    assert {"full data", "this summary", "random users", "head users", "EASE", "∞-AE"} <= set(every)
    assert all(len(seen) == 1 for seen in every.values()), every
    looks = [next(iter(seen)) for seen in every.values()]
    assert len(set(looks)) == len(looks), every


def _seldom(learners: tuple[Learner, ...], name: str) -> tuple[Learner, ...]:
    """The learners, this one trained only where it is named."""
    return tuple(replace(one, usual=one.usual and one.name != name) for one in learners)


def test_plots_against_bytes_when_several_learners_are_usual_then_one_of_each_the_judged_one_first() -> None:
    m = everything()  # its verdict speaks of ∞-AE, which the summary was optimised for
    without = {name: replace(m, learners=_seldom(m.learners, name)) for name in ("", "ease", "ae")}
    sizes = {name: [p.name for p in conclude(one, JOB).plots if "size" in p.name] for name, one in without.items()}
    both = ["metric-against-size", "metric-against-size-ease"]
    assert sizes == {"": both, "ease": both[:1], "ae": both}
    first, second = (plot for plot in conclude(m, JOB).plots if plot.name.startswith("metric-against-size"))
    labels = {one.label for one in m.learners if not one.floor}
    assert {label for label in labels for plot in (first, second) if f" of {label} against" in plot.title} == labels
    assert first.series[0].x == second.series[0].x
    assert first.series[0].y != second.series[0].y


def test_members_of_a_family_when_drawn_then_share_colour_and_marker_and_others_do_not() -> None:
    every = {label: next(iter(seen)) for label, seen in drawn(conclude(everything(), JOB)).items()}
    of_random = {every[name][:2] for name in ("random users", "random users of equal bytes")}
    of_summary = {every[name][:2] for name in ("this summary", "as hard rows")}
    assert len(of_random) == len(of_summary) == 1
    colours = [every[name][0] for name in ("full data", "this summary", "random users", "head users", "k-means")]
    assert len(set(colours)) == 5
    assert not {every["EASE"][0], every["∞-AE"][0]} & set(colours), "learners have colours of their own"


def test_looks_when_families_are_many_then_no_pair_of_colour_and_marker_comes_twice() -> None:
    looks = Looks({}, [f"thing {number}" for number in range(48)])
    pairs = [(look.colour, look.marker) for look in map(looks.of, (f"thing {number}" for number in range(48)))]
    assert len(set(pairs)) == 48
    fixed = Looks({"a": FULL, "b": OWN, "c": RANDOM, "d": HEAD})
    assert not set(pairs) & {(look.colour, look.marker) for look in map(fixed.of, "abcd")}


def test_looks_when_a_family_has_many_members_then_each_still_looks_different() -> None:
    labels = [f"summary {number}" for number in range(20)]
    looks = Looks(dict.fromkeys(labels, OWN) | {"a": RANDOM, "b": FULL})
    seen = [(look.colour, look.marker, look.fill) for look in map(looks.of, [*labels, "a", "b"])]
    assert len(set(seen)) == 22


@pytest.mark.parametrize(
    ("method", "family"),
    [("random-users", RANDOM), ("random-rounds", RANDOM), ("head-users", HEAD), ("k-means", "k-means")],
)
def test_family_when_read_from_the_method_of_a_baseline_then_is_the_known_one(method: str, family: str) -> None:
    assert family_of_baseline(method) == family


@pytest.mark.parametrize("kind", ["line", "scatter", "bar", "histogram", "interval", "heatmap"])
def test_text_of_a_drawing_when_the_page_is_that_of_a_phone_then_is_no_smaller_than_nine_pixels(kind: str) -> None:
    x = ("random users of equal bytes", "b") if kind in ("bar", "interval", "heatmap") else (1.0, 2.0)
    edges = (1.0, 2.0, 3.0) if kind == "histogram" else x
    series = tuple(Series(f"a rather long name {n}", edges, (3.0, 1.0), (2.0, 0.5), (4.0, 1.5)) for n in range(6))
    plot = Plot("p", "t", "d", kind, "x", "a label that is long enough to need two lines", series, mark_x=1.0)  # pyright: ignore
    svg = drawing.draw(plot, drawing.looks_of([plot], {}))
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', svg)[1])  # pyright: ignore[reportOptionalSubscript]
    sizes = [float(size) for size in re.findall(r"font: (?:bold )?([\d.]+)px", svg)]
    sizes += [float(size) for size in re.findall(r"font-size: ([\d.]+)px", svg)]
    assert sizes
    assert min(sizes) * PHONE_PX / width >= 9


def test_colours_of_a_drawing_when_inlined_then_the_page_has_each_for_light_and_dark() -> None:
    template = (Path(drawing.__file__).parent / "templates" / "report.html").read_text(encoding="utf-8")
    for variable in drawing.VARIABLES.values():
        assert len(re.findall(rf"{variable}: #", template)) == 2, variable
