"""The report: JSON of a known shape, a page that hostile strings cannot break, drawings that repeat themselves."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from tests.unit.evidence.made_up import JOB, LEVELS, SETS, measurements
from worker.evidence import plots
from worker.evidence.measurements import Learner, Plot, Series
from worker.evidence.report import Report, build
from worker.evidence.reproduce import command_line
from worker.evidence.reproduce import python as python_lines

HOSTILE = "<script>alert(1)</script>\"'&{{7*7}} $\\frac{x ]]> \x00‮"
NUMBER = {"type": ["number", "null"]}
QUANTITY = {"type": "object", "required": ["value", "unit"]}
SCHEMA = {
    "type": "object",
    "required": [
        "schema_version", "kind", "unit", "units", "metric", "verdict",
        "tables", "plots", "warnings", "cost", "reproduce",
    ],
    "properties": {
        "schema_version": {"const": 1},
        "verdict": {
            "type": "object",
            "required": ["status", "sentence", "learner", "metric", "fidelity", "low", "high", "unit", "n", "baseline"],
            "properties": {
                "status": {"enum": ["keeps", "cheap_would_do", "undetermined"]},
                "sentence": {"type": "string", "minLength": 20},
                "fidelity": NUMBER,
                "low": NUMBER,
                "high": NUMBER,
                "n": {"type": "integer"},
            },
        },
        "tables": {
            "type": "array",
            "minItems": 4,
            "items": {
                "type": "object",
                "required": ["name", "caption", "columns", "rows"],
                "properties": {
                    "columns": {"type": "array", "items": {"required": ["key", "label", "kind", "unit"]}},
                    "rows": {"type": "array", "minItems": 1, "items": {"type": "object"}},
                },
            },
        },
        "plots": {
            "type": "array",
            "minItems": 1,
            "items": {"required": ["name", "title", "description", "kind", "file", "series"]},
        },
        "warnings": {"type": "array", "items": {"type": "string"}},
        "cost": {
            "type": "object",
            "required": ["distilling", "learners"],
            "properties": {"distilling": {"additionalProperties": QUANTITY}},
        },
        "reproduce": {"type": "object", "required": ["curl", "python", "cli", "seed", "input_hash"]},
    },
}  # fmt: skip


class Page(HTMLParser):
    """Collects what a browser would make of a page: tags, attributes, text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def report() -> Report:
    return build(measurements(), JOB)


def test_report_json_fits_its_schema_and_has_no_nan(report: Report) -> None:
    text = report.json_text()
    jsonschema.validate(json.loads(text), SCHEMA)
    names = [table["name"] for table in report.json["tables"]]
    assert names[:5] == ["fidelity", "sizes", "cost", "cross_learner", "metrics"]
    assert "NaN" not in text
    assert "Infinity" not in text


@pytest.mark.parametrize("level", [0.32, 0.05])
def test_report_of_undetermined_or_poor_summaries_fits_the_schema_too(level: float) -> None:
    levels = LEVELS | {"ae": LEVELS["ae"] | {"summary": level}}
    jsonschema.validate(build(measurements(levels, users=30, noise=0.2), JOB).json, SCHEMA)


def test_report_written_twice_has_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        build(measurements(), JOB).write(tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert {"report.json", "report.html", "plots/fidelity.svg", "tables/fidelity.csv"} <= {str(f) for f in files}
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_page_is_self_contained_without_scripts_and_with_described_tables(report: Report) -> None:
    page = Page(report.html)
    assert "script" not in page.tags
    assert not {"link", "iframe", "object", "embed", "img", "form"} & set(page.tags)
    assert not [a for a in page.attributes if a[1].startswith("on")]
    assert not [a for a in page.attributes if a[1] in ("src", "href") and not (a[2] or "").startswith("#")]
    assert page.tags.count("caption") == page.tags.count("table")
    scopes = [value for tag, name, value in page.attributes if tag == "th" and name == "scope"]
    assert len(scopes) == page.tags.count("th")
    assert "@import" not in report.html


def test_page_ids_are_unique(report: Report) -> None:
    ids = re.findall(r'\bid="([^"]+)"', report.html)
    assert len(ids) == len(set(ids))


def test_page_escapes_hostile_strings_everywhere() -> None:
    sets = tuple(replace(s, label=f"{HOSTILE}{s.name}", encoding=HOSTILE) for s in SETS)
    learners = tuple(replace(one, label=f"{HOSTILE} {one.name}") for one in measurements().learners)
    plot = Plot(
        "x/../" + HOSTILE, HOSTILE, HOSTILE, "bar", HOSTILE, HOSTILE, (Series(HOSTILE, (HOSTILE, "b"), (1.0, 2.0)),)
    )
    job = JOB | {"method": HOSTILE, "dataset": HOSTILE, "params": {HOSTILE: HOSTILE}, "environment": {HOSTILE: HOSTILE}}
    m = measurements(sets=sets, learners=learners, warnings=(HOSTILE,), protocol=HOSTILE, plots=(plot,))
    report = build(m, job)
    page = Page(report.html)
    assert "script" not in page.tags
    assert not [a for a in page.attributes if a[1].startswith("on")]
    assert "{{7*7}}" in page.text
    assert "<script>alert(1)</script>" in page.text
    for name, svg in report.drawings.items():
        assert re.fullmatch(r"[a-z0-9-]+\.svg", name)
        root = ElementTree.fromstring(svg)
        assert not root.findall(".//{http://www.w3.org/2000/svg}script")


def test_drawing_is_the_same_every_time_and_carries_title_and_description() -> None:
    plot = Plot(
        "p",
        "A title",
        "What it shows.",
        "line",
        "x",
        "y",
        (Series("s", (0.0, 1.0, 10.0), (1.0, 2.0, 3.0)),),
        log_x=True,
    )
    first, second = plots.draw(plot), plots.draw(plot)
    assert first == second
    root = ElementTree.fromstring(first)
    assert root.get("role") == "img"
    namespace = "{http://www.w3.org/2000/svg}"
    assert root.findtext(f"{namespace}title") == "A title"
    assert root.findtext(f"{namespace}desc") == "What it shows."
    assert not re.search(r"20\d\d-\d\d-\d\d", first)
    assert "mathdefault" not in first


@pytest.mark.parametrize("kind", ["line", "bar", "histogram", "interval"])
def test_drawing_of_every_kind_is_well_formed_and_takes_the_page_colours(kind: str) -> None:
    x = (
        (0.0, 1.0, 2.0, 4.0)
        if kind == "histogram"
        else ("a", "b", "c")
        if kind in ("bar", "interval")
        else (1.0, 2.0, 3.0)
    )
    series = tuple(Series(name, x, (3.0, 1.0, 2.0), (2.0, 0.5, 1.0), (4.0, 1.5, 3.0)) for name in ("one", "two"))
    svg = plots.draw(Plot("p", "t", "d", kind, "x", "y", series))
    ElementTree.fromstring(svg)
    inlined = plots.inline(svg, "p")
    assert "var(--c1)" in inlined or "var(--quiet)" in inlined
    assert "#0072b2" not in inlined
    assert 'id="p-title"' in inlined


def test_warning_when_the_summary_is_larger_than_its_source() -> None:
    sets = tuple(replace(s, bytes=90_000) if s.name == "summary" else s for s in SETS)
    assert any("larger than its source" in w for w in build(measurements(sets=sets), JOB).json["warnings"])


def test_warning_when_popularity_on_full_data_beats_the_learner_on_the_summary() -> None:
    levels = LEVELS | {"ae": LEVELS["ae"] | {"summary": 0.12}}
    assert any("does not beat popularity" in w for w in build(measurements(levels), JOB).json["warnings"])


def test_warning_when_a_cheap_pick_of_equal_bytes_keeps_as_much() -> None:
    sets = tuple(replace(s, equal="bytes") if s.name == "head-users" else s for s in SETS)
    levels = LEVELS | {"ae": LEVELS["ae"] | {"head-users": 0.33}}
    assert any("Byte for byte" in w for w in build(measurements(levels, sets=sets), JOB).json["warnings"])


def test_reproduce_lines_hold_the_request_quoted(report: Report) -> None:
    box = report.json["reproduce"]
    body = json.loads(shlex.split(box["curl"].replace("\\\n", " "))[-1])
    assert body["params"] == JOB["params"]
    assert body["seed"] == 7
    words = shlex.split(box["cli"])
    assert words[:4] == ["distillery", "run", "distill-cf", "ds_01@1"]
    assert {"budget=500", "init=it's", "k=[10]"} <= set(words)
    compile(box["python"], "box", "exec")
    assert "'distill-cf'" in box["python"]


def test_reproduce_python_keeps_odd_parameter_names_out_of_the_call() -> None:
    lines = python_lines(JOB | {"params": {"a b": 1, "class": 2, "seed": 3, "fine": 4}})
    compile(lines, "box", "exec")
    assert "fine=4" in lines
    assert "params={'a b': 1, 'class': 2, 'seed': 3}" in lines


def test_cost_measured_by_the_runtime_goes_first(report: Report) -> None:
    assert report.json["cost"]["distilling"]["seconds"] == {"value": 95.0, "unit": "s", "n": 1}
    assert report.json["cost"]["learners"][0]["break_even"]["value"] == 9


def test_cost_of_judging_an_existing_summary_is_not_taken_for_that_of_making_it() -> None:
    cost = build(measurements(), JOB | {"task": "evaluate", "method": "fidelity"}).json["cost"]
    assert cost["distilling"]["seconds"]["value"] is None
    assert cost["learners"][0]["break_even"]["said"] == "unknown"


def test_learner_without_results_does_not_break_the_report() -> None:
    m = measurements()
    build(replace(m, learners=(*m.learners, Learner("x", "X"))), JOB)


def test_reproduce_command_line_keeps_text_that_looks_like_a_number_text() -> None:
    assert 'code="500"' in shlex.split(command_line(JOB | {"params": {"code": "500", "budget": "1%"}}))
    assert "budget=1%" in shlex.split(command_line(JOB | {"params": {"budget": "1%"}}))
