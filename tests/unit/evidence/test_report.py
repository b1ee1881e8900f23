"""The report: JSON of a known shape, a page that hostile strings cannot break, drawings that repeat themselves."""

from __future__ import annotations

import base64
import json
import re
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from distillery.cli.results import show_report
from tests.unit.evidence.made_up import JOB, LEVELS, PROTOCOL, SETS, changed, measurements, with_level
from worker.contract.learner import Learner
from worker.contract.product import Origin
from worker.evidence import drawing
from worker.evidence.conclude import conclude
from worker.evidence.measurements import Measurements
from worker.evidence.page import show
from worker.evidence.plot import Picture, Plot, Series
from worker.evidence.report import Report, build, document, plain
from worker.evidence.reproduce import command_line
from worker.evidence.reproduce import python as python_lines

PNG = b"\x89PNG\r\n\x1a\n and more"
HOSTILE = "<script>alert(1)</script>\"'&{{7*7}} $\\frac{x ]]> \x00‮"
NUMBER = {"type": ["number", "null"]}
QUANTITY = {"type": "object", "required": ["value", "unit"]}
SCHEMA = {
    "type": "object",
    "required": [
        "schema_version", "kind", "unit", "units", "metric", "verdict",
        "tables", "plots", "pictures", "files", "warnings", "cost", "reproduce", "headline", "protocol", "tests",
        "bootstrap", "origin", "summaries", "reused_from", "unfinished", "test_units", "about", "because",
        "key_figures", "dataset_name", "dataset_files", "created_at",
    ],
    "properties": {
        "schema_version": {"const": 3},
        "protocol": {
            "type": "object",
            "required": ["hash", "text", "fields"],
            "properties": {"hash": {"type": "string", "pattern": "^[0-9a-f]{16}$"}, "fields": {"type": "object"}},
        },
        "verdict": {
            "type": "object",
            "required": [
                "status", "label", "tone", "sentence", "value", "low", "high", "unit", "reasons", "settled_by",
                "caveat", "learner", "metric", "n", "rows_share", "bytes_share", "baseline", "own_method",
                "best_against_best", "ordering",
            ],
            "properties": {
                "status": {
                    "enum": [
                        "ahead", "cheap_would_do", "cheap_is_better", "cheap_pick", "measured", "undetermined"
                    ]
                },
                "sentence": {"type": "string", "minLength": 20},
                "value": NUMBER,
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


def told(m: Measurements, **job: object) -> dict[str, Any]:
    """The JSON of the report, without drawings."""
    described = {**JOB, **job}
    return document(conclude(m, described), described)


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
    jsonschema.validate(told(measurements(levels, users=30, noise=0.2)), SCHEMA)


def test_report_written_twice_has_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        build(measurements(), JOB).write(tmp_path / name)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    expected = {"report.json", "report.html", "plots/fidelity.svg", "tables/fidelity.csv", "files/measurements.npz"}
    assert expected <= {str(f) for f in files}
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_page_is_self_contained_without_scripts_and_with_described_tables(report: Report) -> None:
    page = Page(report.html)
    assert "script" not in page.tags
    assert not {"link", "iframe", "object", "embed", "img", "form"} & set(page.tags), "without pictures no img either"
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
    m = measurements(
        sets=sets,
        learners=learners,
        warnings=(HOSTILE,),
        protocol=replace(PROTOCOL, text=HOSTILE),
        unfinished=HOSTILE,
        plots=(plot,),
        pictures=(Picture(HOSTILE, HOSTILE, HOSTILE, PNG),),
        origin=Origin("distill-cf", reason=HOSTILE),
    )
    report = build(m, job)
    page = Page(report.html)
    assert "script" not in page.tags
    assert not [a for a in page.attributes if a[1].startswith("on")]
    assert "{{7*7}}" in page.text
    assert "<script>alert(1)</script>" in page.text
    assert all(re.fullmatch(r"[a-z0-9-]+\.png", name) for name in report.pictures)
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
    first, second = (drawing.draw(plot, drawing.looks_of([plot], {})) for _ in range(2))
    assert first == second
    root = ElementTree.fromstring(first)
    assert root.get("role") == "img"
    namespace = "{http://www.w3.org/2000/svg}"
    assert root.findtext(f"{namespace}title") == "A title"
    assert root.findtext(f"{namespace}desc") == "What it shows."
    assert not re.search(r"20\d\d-\d\d-\d\d", first)
    assert "mathdefault" not in first


@pytest.mark.parametrize("kind", ["line", "scatter", "bar", "histogram", "interval", "heatmap"])
def test_drawing_of_every_kind_is_well_formed_and_takes_the_page_colours(kind: str) -> None:
    x = (
        (0.0, 1.0, 2.0, 4.0)
        if kind == "histogram"
        else ("a", "b", "c")
        if kind in ("bar", "interval", "heatmap")
        else (1.0, 2.0, 3.0)
    )
    series = tuple(Series(name, x, (3.0, 1.0, 2.0), (2.0, 0.5, 1.0), (4.0, 1.5, 3.0)) for name in ("one", "two"))
    plot = Plot("p", "t", "d", kind, "x", "y", series)
    svg = drawing.draw(plot, drawing.looks_of([plot], {"a": "summary"}))
    ElementTree.fromstring(svg)
    assert "<image" not in svg, "everything is drawn, nothing is a bitmap"
    inlined = drawing.inline(svg, "p")
    assert re.search(r"var\(--(c\d|quiet|heat)\)", inlined)
    assert not set(drawing.VARIABLES) & set(re.findall(r"#[0-9a-f]{6}", inlined))
    assert 'id="p-title"' in inlined


def test_warning_when_the_summary_is_larger_than_its_source() -> None:
    found = told(measurements(sets=changed("summary", bytes=90_000)))["warnings"]
    assert any("larger than its source" in w and "saves users, not bytes" in w for w in found)


def test_warning_when_popularity_on_full_data_beats_the_learner_on_the_summary() -> None:
    found = told(measurements(with_level("ae", "summary", 0.12)))["warnings"]
    assert any("does not beat popularity" in w for w in found)


def test_warning_when_the_summary_saves_nothing_over_compression_of_its_source() -> None:
    sets = (replace(SETS[0], compressed=8_000), replace(SETS[1], compressed=8_500), *SETS[2:])
    found = told(measurements(sets=sets))["warnings"]
    assert any("saves nothing over lossless compression" in w and "compresses to 8.00" in w for w in found)
    sets = (replace(SETS[0], compressed=8_000), replace(SETS[1], compressed=7_000), *SETS[2:])
    assert not any("lossless" in w for w in told(measurements(sets=sets))["warnings"])


def test_verdict_names_the_cheap_pick_of_equal_bytes_that_keeps_as_much() -> None:
    m = measurements(with_level("ae", "head-users", 0.33), sets=changed("head-users", equal="bytes", rows=180))
    verdict = told(m)["verdict"]
    assert verdict["baseline"]["name"] == "head-users"
    assert verdict["baseline"]["equal"] == "bytes"
    assert "head users (as many bytes), keeps 100.0" in verdict["sentence"]


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
    assert report.json["cost"]["learners"][0]["break_even"]["value"] == 9  # 95 s over 11.5 s a training


def test_cost_of_judging_an_existing_summary_is_not_taken_for_that_of_making_it() -> None:
    cost = told(measurements(), task="evaluate", method="fidelity", cost=None)["cost"]
    assert cost["distilling"]["seconds"]["value"] is None
    assert cost["learners"][0]["break_even"]["said"].startswith("unknown")


def test_learner_without_results_does_not_break_the_report() -> None:
    m = measurements()
    found = told(replace(m, learners=(*m.learners, Learner("x", "X"))))
    assert found["verdict"] == told(m)["verdict"]


def test_learner_without_a_result_on_the_full_data_has_its_metric_and_no_share() -> None:
    m = measurements()
    m = replace(m, results=tuple(r for r in m.results if (r.learner, r.set) != ("ease", "full")))
    rows = next(t for t in told(m)["tables"] if t["name"] == "fidelity")["rows"]
    row = next(r for r in rows if r["learner"] == "EASE" and r["set"] == "this summary")
    assert row["metric"] == pytest.approx(30.0)
    assert row["kept"] is None


def test_protocol_stands_in_the_json_and_on_the_page_with_its_hash(report: Report) -> None:
    assert report.json["protocol"] == {
        "hash": PROTOCOL.hash,
        "text": PROTOCOL.text,
        "fields": plain(PROTOCOL.fields),
    }
    assert f"Protocol {PROTOCOL.hash}." in Page(report.html).text
    assert PROTOCOL.text in Page(report.html).text


def test_picture_is_written_listed_and_embedded_with_a_description(tmp_path: Path) -> None:
    report = build(measurements(plots=(), pictures=(Picture("Contact sheet", "Sheet", "Ten digits.", PNG),)), JOB)
    report.write(tmp_path)
    assert (tmp_path / "pictures" / "contact-sheet.png").read_bytes() == PNG
    assert report.json["pictures"] == [
        {"name": "Contact sheet", "title": "Sheet", "description": "Ten digits.", "file": "pictures/contact-sheet.png"}
    ]
    page = Page(report.html)
    assert ("img", "alt", "Ten digits.") in page.attributes
    (source,) = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    assert base64.b64decode((source or "").removeprefix("data:image/png;base64,")) == PNG


def test_reused_figures_are_told_with_the_job_they_come_from() -> None:
    m = measurements()
    m = replace(m, results=tuple(replace(r, job="job_77") if r.set in ("full", "head-users") else r for r in m.results))
    found = told(m)
    assert found["reused_from"] == [
        {"job": "job_77", "sets": ["full", "head-users"], "learners": ["popularity", "ease", "ae"]}
    ]
    cost = next(t for t in found["tables"] if t["name"] == "cost")
    assert "Figures of the full data and of 1 baseline come from job job_77" in cost["note"]
    assert {row["timed_in"] for row in cost["rows"]} == {"full data: job job_77"}
    assert told(measurements())["reused_from"] == []


def test_making_is_told_beside_the_cost_of_training(report: Report) -> None:
    assert "Making the summary took 95.0" in next(t for t in report.json["tables"] if t["name"] == "cost")["note"]
    note = next(t for t in told(measurements(), cost=None)["tables"] if t["name"] == "cost")["note"]
    assert "What making the summary cost is not known here." in note


def test_head_when_the_runtime_knows_the_dataset_then_names_it_with_its_files_and_the_date() -> None:
    files = ["ratings.csv", "users.csv", "items.csv", "tags.csv", "more.csv"]
    told_of = {"dataset_name": "clicks <b>", "dataset_files": files, "created_at": "2026-11-30T23:26:41+00:00"}
    report = build(measurements(), JOB | told_of)
    head = "clicks <b> · ds_01@1 · ratings.csv, users.csv, items.csv and 2 more · 30 November 2026"
    assert report.json["about"] == ["distil · interactions · distill-cf v1", head]
    assert head in Page(report.html.partition("<body>")[2]).text.partition("Keeps")[0]
    assert "clicks \\<b\\> · ds\\_01@1 · ratings.csv" in report.markdown.partition("##")[0]
    assert (report.json["dataset_name"], report.json["dataset_files"]) == ("clicks <b>", files)


def test_warnings_when_there_are_some_then_stand_beside_the_verdict_before_any_figure(report: Report) -> None:
    text = Page(report.html.partition("<body>")[2]).text
    assert text.index(report.verdict["sentence"]) < text.index("One warning.") < text.index("to make it")
    assert report.html.index('<aside class="warnings"') < report.html.index('<dl class="key"')
    assert report.markdown.index("One warning.") < report.markdown.index("- 97.0")


def test_reports_when_rendered_as_page_markdown_and_on_the_command_line_then_tell_the_same(
    report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    class Found:
        verdict = report.verdict["sentence"]

        def json(self) -> dict[str, Any]:
            return json.loads(report.json_text())

    show_report(Found())  # pyright: ignore[reportArgumentType]
    shell = _words(capsys.readouterr().out)
    markdown, page = _words(report.markdown.replace("\\", "")), _words(Page(report.html).text)
    told = [report.verdict["sentence"], report.json["headline"], report.verdict["label"], *report.json["warnings"]]
    told += [report.json["because"], *report.json["about"]]
    for one in report.json["key_figures"]:
        told += [one["value"], one["label"], one["small"]]
    for table in report.tables:
        if table.name in ("fidelity", "sizes", "cost"):
            cells = [cell for row in show(table).rows for cell in row.cells if cell.number]
            told += [f"{cell.text} {cell.interval}".strip() for cell in cells]
            told += [table.note, table.caption]
    for text in told:
        assert _words(text) in shell, text
        assert _words(text) in markdown, text
        assert _words(text) in page, text


def _words(text: str) -> str:
    """Words with single spaces; how a minus is drawn, and whether thousands are set apart, is each one's own."""
    plainer = text.replace("\u2212", "-").replace("\u2011", "-").replace("\u2013", "-")
    plainer = re.sub(r"(?<=\d)[,\u202f](?=\d{3})", "", plainer)
    return " ".join(plainer.replace("\u202f", " ").split())


def test_reason_of_a_chosen_method_is_told_beside_the_verdict() -> None:
    found = conclude(measurements(origin=Origin("head-users", reason="rows are short.")), JOB)
    assert found.because.endswith("The method was chosen so: rows are short.")
    assert found.more["origin"]["method"] == "head-users"


def test_numbers_of_the_json_have_ten_digits_and_requests_all_of_theirs() -> None:
    exact = 0.12345678901234567
    found = told(measurements(), params={"lr": exact})
    assert found["reproduce"]["params"]["lr"] == exact
    assert plain({"a": exact}, digits=10) == {"a": 0.123456789}
    value = found["verdict"]["value"]
    assert value == float(f"{value:.10g}")


def test_reproduce_command_line_keeps_text_that_looks_like_a_number_text() -> None:
    assert 'code="500"' in shlex.split(command_line(JOB | {"params": {"code": "500", "budget": "1%"}}))
    assert "budget=1%" in shlex.split(command_line(JOB | {"params": {"budget": "1%"}}))
