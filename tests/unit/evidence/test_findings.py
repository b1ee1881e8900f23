"""Findings that are no summary's: the same report, page, text and files from a verdict of another sort."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.evidence.made_up import JOB, measurements
from worker.evidence import markdown
from worker.evidence.conclude import conclude
from worker.evidence.findings import Findings, KeyFigure
from worker.evidence.plot import Picture
from worker.evidence.report import build, document
from worker.evidence.table import Column, Table
from worker.evidence.verdict import Verdict

FINDINGS = Findings(
    kind="bandit",
    unit="round",
    units="rounds",
    test_units="rounds",
    n_test=1000,
    verdict=Verdict("cannot_tell", "The logs cannot tell.", 0.25, details={"targets": [{"name": "target"}]}),
    headline="Cannot tell",
    because="The target acts where nothing was logged.",
    key_figures=(KeyFigure("policy ESS", "0.4"),),
    tables=(
        Table(
            "estimates", "One row", (Column("who", "Who", "text"), Column("v", "Value")), ({"who": "a|b", "v": 0.5},)
        ),
    ),
    warnings=("<b>look</b>",),
    files={"estimates.json": b"{}"},
)


def test_report_when_built_of_findings_then_carries_their_verdict_tables_and_cost():
    report = build(FINDINGS, JOB | {"cost": {"seconds": 2.5, "peak_mb": 80.0}})
    assert report.json["verdict"]["status"] == "cannot_tell"
    assert report.json["verdict"]["targets"] == [{"name": "target"}]
    assert [table["name"] for table in report.json["tables"]] == ["estimates"]
    assert report.json["cost"]["seconds"] == {"value": 2.5, "unit": "s", "n": 1}
    assert report.json["files"] == ["estimates.json"]
    assert "The logs cannot tell." in report.html
    assert "<b>look" not in report.html


def test_report_when_written_then_further_files_lie_beside_it(tmp_path: Path):
    build(FINDINGS, JOB).write(tmp_path)
    assert (tmp_path / "files" / "estimates.json").read_bytes() == b"{}"


def test_markdown_when_data_holds_markup_then_it_stays_text():
    text = build(FINDINGS, JOB).markdown
    assert text.startswith("# Cannot tell\n")
    assert "- \\<b\\>look\\</b\\>" in text
    assert "| a\\|b | 0.5 |" in text


def test_markdown_of_a_summary_names_every_table():
    found = conclude(measurements(), JOB)
    report = document(found, JOB)
    text = markdown.render(report, found).replace("\\", "")
    assert report["verdict"]["sentence"].split("%")[0] in text
    assert len(found.tables) > 5
    for table in found.tables:
        assert not table.heading or f"## {table.heading}" in text


def test_findings_when_the_verdict_lacks_its_sentence_then_are_refused():
    with pytest.raises(ValueError, match="sentence"):
        Verdict("better", "")


def test_findings_take_status_tone_and_headline_from_their_verdict():
    assert (FINDINGS.status, FINDINGS.tone, FINDINGS.title) == ("The logs cannot tell", "open", "Cannot tell")
    assert replace(FINDINGS, headline="").title == "The logs cannot tell"
    better = replace(FINDINGS, verdict=Verdict("better", "It is better."))
    assert (better.status, better.tone) == ("Better than the logging policy", "good")


def test_findings_of_what_was_not_measured_say_why_and_make_a_report():
    found = Findings.unmeasured(kind="images", unit="image", units="images", reason="the time for judging was over")
    report = build(found, JOB)
    assert report.verdict["status"] == "undetermined"
    assert report.verdict["sentence"] == "Undetermined: the time for judging was over."
    assert report.verdict["reasons"] == ["the time for judging was over"]
    assert report.json["test_units"] == {"value": 0, "unit": "images"}
    assert "Undetermined: the time for judging was over." in report.html
    assert report.markdown.startswith("# Undetermined\n")


def test_protocol_in_words_stands_in_the_json_without_a_hash():
    protocol = build(replace(FINDINGS, protocol="Cross-fitted over 3 folds."), JOB).json["protocol"]
    assert protocol == {"hash": None, "text": "Cross-fitted over 3 folds.", "fields": {}}


def test_pictures_of_findings_are_listed_too():
    report = build(replace(FINDINGS, pictures=(Picture("sheet", "Sheet", "A sheet.", b"png"),)), JOB)
    assert report.pictures == {"sheet.png": b"png"}
    assert report.json["pictures"][0]["file"] == "pictures/sheet.png"
