"""What a report shows of sets and scores, against values counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.kinds.text.languages import clean, corpus
from tests.kinds.text.test_judge import judged, of_source
from worker.contract.product import Origin
from worker.evidence.report import build
from worker.kinds.text import score_report
from worker.kinds.text.baselines import Drawn
from worker.kinds.text.composition import distinct_share, duplicate_share, source_entropy
from worker.kinds.text.dataset import TEST, TRAIN, VALIDATION
from worker.kinds.text.summary import TextSummary
from worker.kinds.text.training_text import Documents, TrainingText


def test_composition_when_counted_by_hand_then_is_equal(tmp_path: Path):
    texts = ["a b c d", "a b c d", "x", "b c d e"]
    data = corpus(tmp_path / "v", texts, [TRAIN] * 4, ["p", "p", "p", "q"])
    drawn = Drawn(data, np.arange(4), TrainingText(Documents.of(texts), 30))
    assert duplicate_share(drawn) == 0.25
    assert source_entropy(drawn) == pytest.approx(0.811278, abs=1e-6)
    assert distinct_share(drawn.text) == pytest.approx(3 / 6)  # abc bcd, abc bcd, bcd cde


def test_agreement_when_scores_reverse_then_is_minus_one_and_constants_have_none(tmp_path: Path):
    data = corpus(tmp_path / "v", clean(30, 0), [TRAIN] * 30)
    rows, at = np.arange(30), np.arange(30, dtype=np.float32)
    scores = {"up": at, "down": -at, "flat": np.ones(30, np.float32)}
    summary = TextSummary(data, rows[:5], rows[:5], np.ones(5, np.float32), rows, scores, origin=Origin("made"))
    found = score_report.all_scores(data, [summary], 0)
    tau = score_report.agreement(data, found, 0)
    assert [one.label for one in found] == ["made: up", "made: down", "made: flat"]
    assert tau[0, 0] == tau[1, 1] == 1
    assert tau[0, 1] == tau[1, 0] == -1
    assert np.isnan(tau[2]).all()


def test_agreement_when_scores_know_other_documents_then_is_over_those_that_both_know(tmp_path: Path):
    data = corpus(tmp_path / "v", clean(30, 0), [TRAIN] * 30)
    values = np.random.default_rng(0).random(30)
    one = score_report.Scored("a", np.arange(0, 20), values[:20])
    other = score_report.Scored("b", np.arange(10, 30), np.where(np.arange(10, 30) < 20, values[10:], -values[10:]))
    assert score_report.agreement(data, [one, other], 0)[0, 1] == pytest.approx(1)


def test_report_when_documents_hold_markup_then_shows_their_beginnings_as_text(tmp_path: Path):
    bad = "<script>alert(1)</script> | pipe\n# heading \0 " + "x" * 2000
    texts = [*clean(80, 0), *[f"{bad} {number}" for number in range(10)]]
    split = ([TRAIN] * 7 + [VALIDATION, TEST, TEST]) * 8 + [TRAIN] * 10
    data = corpus(tmp_path / "v", texts, split, ["good"] * 80 + ["bad"] * 10)
    report = build(judged(data, of_source(data, "bad", 10), draws=1), {"method": "oracle", "kind": "text"})
    assert "<script>alert" not in report.html
    assert "&lt;script&gt;alert" in report.html
    examples = next(one for one in report.json["tables"] if one["name"] == "examples")
    assert max(len(row["text"]) for row in examples["rows"]) < 260
    assert len(examples["rows"]) == 20
    assert [row["kept"] for row in examples["rows"][:10]] == ["yes"] * 10
    assert {"training", "composition", "leads", "facts"} <= {one["name"] for one in report.json["tables"]}
    assert any(one["name"] == "scores" for one in report.json["plots"])
